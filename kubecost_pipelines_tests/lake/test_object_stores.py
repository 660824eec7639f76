"""The same lake on the object store of each cloud."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from kubecost_pipelines.lake import Engine, Lake
from kubecost_pipelines.lake.lake import LakeError
from kubecost_pipelines.settings.locations import locate
from kubecost_pipelines_tests.lake.test_lake import MONDAY, TABLE, TUESDAY, contents, things
from kubecost_pipelines_tests.s3 import S3Server
from kubecost_pipelines_tests.servers import ACCOUNT, ACCOUNT_KEY, BlobServer

Keys = Callable[[], list[str]]


@pytest.fixture(params=["s3", "gs", "abfs"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Keys]]:
    """Return the URI of a lake on a server of that kind, and what lists the server's objects without our code."""
    if request.param == "s3":
        s3: S3Server = request.getfixturevalue("s3")
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
        client = s3.client()
        client.create_bucket(Bucket="the-lake")
        yield (
            "s3://the-lake/costs",
            lambda: [item["Key"] for item in client.list_objects_v2(Bucket="the-lake")["Contents"]],
        )
    elif request.param == "gs":
        gcs: str = request.getfixturevalue("gcs")
        objects = f"{gcs}/storage/v1/b/the-lake/o"
        requests.post(f"{gcs}/storage/v1/b", json={"name": "the-lake"}, timeout=10).raise_for_status()
        server = gcs.removeprefix("http://")
        yield (
            f"gs://anonymous@the-lake/costs?scheme=http&endpoint_override={server}",
            lambda: [item["name"] for item in requests.get(objects, timeout=10).json()["items"]],
        )
    else:
        blobs: BlobServer = request.getfixturevalue("blobs")
        container = blobs.container("the-lake")
        monkeypatch.setenv("AZURE_STORAGE_SERVICE_ENDPOINT", blobs.endpoint.removesuffix(f"/{ACCOUNT}"))
        monkeypatch.setenv("AZURE_STORAGE_KEY", ACCOUNT_KEY)
        yield f"abfs://the-lake@{ACCOUNT}.dfs.core.windows.net/costs", lambda: list(container.list_blob_names())


def test_days_are_written_replaced_and_read_back(bucket: tuple[str, Keys], engine: Engine, tmp_path: Path) -> None:
    uri, keys = bucket
    lake = Lake(locate(uri), tmp_path)
    assert lake.held_days(TABLE, ["k"]) == set()

    lake.publish(lake.stage(TABLE, things((MONDAY, "a", "1"), (TUESDAY, "b", "2")), engine), ["k"], [MONDAY, TUESDAY])
    lake.publish(lake.stage(TABLE, things((MONDAY, "c", "3")), engine), ["k"], [MONDAY])

    assert [(day, name) for day, name, _ in contents(lake, engine, MONDAY, TUESDAY)] == [(MONDAY, "c"), (TUESDAY, "b")]
    known = lake.describe(TABLE, ["k"], MONDAY)
    assert known is not None
    assert known.sums == {"cost": 3}
    assert lake.held_days(TABLE, ["k"]) == {MONDAY, TUESDAY}
    assert lake.describe(TABLE, ["other"], MONDAY) is None
    with pytest.raises(LakeError, match="Materialise it first"):
        list(lake.read_batches(TABLE, ["other"], MONDAY))
    assert keys() == [f"costs/things/k/date={day}/data.parquet" for day in (MONDAY, TUESDAY)]
    assert not list(tmp_path.glob("*.parquet")), "the upload's temporary file stays behind"
