"""The connection status on a real S3 protocol with enforced permissions (moto's), as Dagster records it."""

import gzip
import json
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kubecost_pipelines.core.tables import CONNECTION_STATUS
from kubecost_pipelines.lake import Lake
from kubecost_pipelines.settings import CloudStoreSettings
from kubecost_pipelines.settings.locations import locate
from kubecost_pipelines_tests.clouds.test_aws import csv_gz, put_report
from kubecost_pipelines_tests.core.test_aws_lines import line
from kubecost_pipelines_tests.dagster_run import LATER, Deployment
from kubecost_pipelines_tests.s3 import S3Server, serve_s3

STATUS = "connection_status/aws/111122223333"
MANIFEST = "bills/cur/20261001-20261101/cur-Manifest.json"
REPORT = "bills/cur/20261001-20261101/a1/cur-00001.csv.gz"


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[S3Server, dict[str, dict[str, str]]]]:
    """Serve S3 with a `reader` who may read acme-billing and a `stranger` who may list buckets only."""
    import boto3

    with serve_s3() as server:
        options: dict[str, Any] = {"endpoint_url": server.endpoint, "region_name": "us-east-1"}
        iam = boto3.client("iam", **options, aws_access_key_id="k", aws_secret_access_key="s")
        keys = {}
        reading, assuming = ["s3:ListBucket", "s3:GetObject"], ["sts:AssumeRole"]
        for role, actions in {"child": assuming, "parent": reading}.items():
            iam.create_role(RoleName=role, AssumeRolePolicyDocument=_policy(assuming))
            iam.put_role_policy(RoleName=role, PolicyName="p", PolicyDocument=_policy(actions))
        for user, actions in {"reader": reading, "stranger": ["s3:ListAllMyBuckets"], "assumer": assuming}.items():
            iam.create_user(UserName=user)
            iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=_policy(actions))
            key = iam.create_access_key(UserName=user)["AccessKey"]
            keys[user] = {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}
        client = server.client()
        client.create_bucket(Bucket="acme-billing")
        client.create_bucket(Bucket="empty-export")
        yield server, keys


def _policy(actions: list[str]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]})


@pytest.fixture
def bill(
    guarded: tuple[S3Server, dict[str, dict[str, str]]], tmp_path: Path
) -> Iterator[Callable[..., CloudStoreSettings]]:
    """Put October's bill into acme-billing, and return what makes a store that reads as one of the users."""
    server, keys = guarded
    put_report(tmp_path / "bucket", [line("Usage", "7")])
    for path in (tmp_path / "bucket").rglob("*.*"):
        server.client().upload_file(str(path), "acme-billing", str(path.relative_to(tmp_path / "bucket")))
    _enforce(server, calls_before=0)

    def store(
        user: str = "reader", export: str | None = "s3://acme-billing/bills/cur", **changes: Any
    ) -> CloudStoreSettings:
        access = {"endpoint": server.endpoint, "region": "us-east-1", **keys[user], **changes}
        return CloudStoreSettings(provider="aws", id="111122223333", export=export, **access)

    yield store
    _enforce(server, calls_before=1_000_000)


def _enforce(server: S3Server, calls_before: int) -> None:
    url, plain = f"{server.endpoint}/moto-api/reset-auth", {"Content-Type": "text/plain"}
    request = urllib.request.Request(url, str(calls_before).encode(), plain, method="POST")
    urllib.request.urlopen(request).close()


def _unguarded(server: S3Server, do: Callable[[Any], Any]) -> None:
    _enforce(server, calls_before=1_000_000)
    do(server.client())
    _enforce(server, calls_before=0)


def found(run: Deployment) -> dict[str, str]:
    result = run(STATUS)
    assert result.success, "a status records what is wrong; it never fails"
    return result.materialized[STATUS, ""]


def test_a_good_bill_is_a_successful_connection(
    bill: Any, dagster_run: Callable[..., Deployment], tmp_path: Path
) -> None:
    run = dagster_run(cloud_stores=[bill()])

    status = found(run)

    assert (status["status"], status["cure"]) == ("SUCCESSFUL_CONNECTION", "")
    assert run(STATUS).checks == {"connection_is_successful": True}
    kept = Lake(locate(run.settings.lake), tmp_path).describe(CONNECTION_STATUS, ("aws", "111122223333"), LATER.date())
    assert kept is not None
    assert kept.rows == 1


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"export": None}, "INCOMPLETE_CONFIGURATION", "missing `export`"),
        ({"export": None, "secret_access_key": None}, "INCOMPLETE_CONFIGURATION", "`export`, `secret_access_key`"),
        ({"secret_access_key": "wrong"}, "FAILED_CONNECTION", "SignatureDoesNotMatch"),
        ({"user": "stranger"}, "FAILED_CONNECTION", "AccessDenied"),
        ({"export": "s3://no-such-bucket/cur"}, "FAILED_CONNECTION", "no-such-bucket"),
        ({"export": "s3://empty-export/cur"}, "MISSING_DATA", "no bill of the last 3 months"),
    ],
    ids=["a field", "every field", "wrong secret", "denied by IAM", "wrong bucket", "empty export"],
)
def test_what_is_wrong_is_named(
    bill: Any, dagster_run: Callable[..., Deployment], changes: dict[str, Any], status: str, words: str
) -> None:
    store = bill(**changes)
    run = dagster_run(cloud_stores=[store])

    result = run(STATUS)

    recorded = result.materialized[STATUS, ""]
    assert recorded["status"] == status
    assert words in recorded["detail"]
    assert recorded["cure"]
    assert result.checks == {"connection_is_successful": False}
    if store.secret_access_key:
        assert store.secret_access_key.get_secret_value() not in str(result)


def test_roles_are_assumed_one_after_the_other(bill: Any, dagster_run: Callable[..., Deployment]) -> None:
    roles = tuple(f"arn:aws:iam::123456789012:role/{name}" for name in ("child", "parent"))

    chained = found(dagster_run(cloud_stores=[bill(user="assumer", role_arns=roles)]))
    half_way = found(dagster_run(cloud_stores=[bill(user="assumer", role_arns=roles[:1])]))

    assert chained["status"] == "SUCCESSFUL_CONNECTION", chained
    assert half_way["status"] == "FAILED_CONNECTION"
    assert "AccessDenied" in half_way["detail"]


def test_good_then_empty_stays_successful_and_good_then_denied_fails(
    guarded: tuple[S3Server, Any], bill: Any, dagster_run: Callable[..., Deployment]
) -> None:
    server, _ = guarded
    run = dagster_run(cloud_stores=[bill()])
    first = found(run)

    _unguarded(server, lambda client: client.delete_object(Bucket="acme-billing", Key=MANIFEST))
    empty = found(run)
    run.settings = run.settings.model_copy(update={"cloud_stores": (bill(user="stranger"),)})
    denied = found(run)

    assert [one["status"] for one in (first, empty, denied)] == ["SUCCESSFUL_CONNECTION"] * 2 + ["FAILED_CONNECTION"]
    assert empty["since"] == first["since"]


def test_since_is_when_the_status_began(bill: Any, dagster_run: Callable[..., Deployment]) -> None:
    now = [datetime(2026, 11, 1, tzinfo=UTC)]
    run = dagster_run(cloud_stores=[bill()], clock=lambda: now[0])
    found(run)
    now[0] = datetime(2026, 11, 2, tzinfo=UTC)

    second = found(run)

    assert second["since"] == "2026-11-01 00:00:00+00:00"
    assert second["checked_at"] == "2026-11-02 00:00:00+00:00"


def test_a_report_with_a_header_only_has_no_data(
    guarded: tuple[S3Server, Any], bill: Any, dagster_run: Callable[..., Deployment]
) -> None:
    server, _ = guarded
    header = gzip.compress(gzip.decompress(csv_gz([line("Usage", "1")])).partition(b"\n")[0] + b"\n")
    _unguarded(server, lambda client: client.put_object(Bucket="acme-billing", Key=REPORT, Body=header))

    assert found(dagster_run(cloud_stores=[bill()]))["status"] == "MISSING_DATA"


def test_clusters_without_any_bill_are_missing_configuration(dagster_run: Callable[..., Deployment]) -> None:
    result = dagster_run()("connection_status")

    assert result.materialized["connection_status", ""]["status"] == "MISSING_CONFIGURATION"
    assert result.checks == {"connection_is_successful": False}
