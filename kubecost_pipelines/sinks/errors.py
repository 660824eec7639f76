"""What can go wrong on the way to a reader."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from kubecost_pipelines.aws import AwsError

_CURES = {
    "AccessDenied": "`kubecost-pipelines iam-policy` prints what the identity must be allowed.",
    "AccessDeniedException": "`kubecost-pipelines iam-policy` prints what the identity must be allowed.",
    "403": "`kubecost-pipelines iam-policy` prints what the identity must be allowed.",
    "NoSuchBucket": "Create the bucket, or correct `export.location`.",
    "404": "Create the bucket, or correct `export.location`.",
    "EntityNotFoundException": "Correct `export.glue`, or allow glue:CreateDatabase and glue:CreateTable.",
}


class ExportError(Exception):
    """A day cannot be exported. The message ends with the cure, and holds no secret."""


@contextmanager
def in_file_words(what: str, cure: str) -> Iterator[None]:
    """Tell an error of a disk, or of a file on it, as ours: what was tried, what went wrong, and what to do."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise ExportError(f"{what}: {error}. {cure}") from error


@contextmanager
def in_aws_words(what: str) -> Iterator[None]:
    """Tell an error of AWS as ours: what was tried, what AWS says, and what to do."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        response = getattr(error, "response", {})
        cure = _CURES.get(response.get("Error", {}).get("Code", ""), "Check `export.identity` and the network.")
        raise ExportError(f"{what}: {error}. {cure}") from error
    except AwsError as error:
        raise ExportError(f"{what}: {error}") from error
