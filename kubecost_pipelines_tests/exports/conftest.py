from collections.abc import Iterator
from uuid import uuid4

import pytest

from kubecost_pipelines_tests.replay import Replay, serve_replay
from kubecost_pipelines_tests.s3 import S3Server, serve_s3


@pytest.fixture
def replay() -> Iterator[Replay]:
    with serve_replay() as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server) -> str:
    name = f"costs-{uuid4().hex[:12]}"
    s3.client().create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="module")
def athena() -> Iterator[S3Server]:
    """A moto whose Athena runs its queries."""
    with serve_s3(with_athena=True) as server:
        yield server
