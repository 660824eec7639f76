"""Who an export is in AWS: role after role, renewed on long back-fills, allowed no more than its own prefix."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import botocore.credentials
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError
from pydantic import ValidationError

from kubecost_pipelines.aws import open_client, open_session
from kubecost_pipelines.cli.iam_policy import policy_of
from kubecost_pipelines.settings import AwsIdentitySettings, ClusterSettings, ExportSettings, GlueSettings
from kubecost_pipelines.sinks import ExportError, Manifest, open_bucket
from kubecost_pipelines_tests.s3 import S3Server, serve_s3

DAY = date(2026, 10, 5)
CHILD = "arn:aws:iam::111122223333:role/child"
PARENT = "arn:aws:iam::444455556666:role/parent"
MANIFEST = Manifest(1, 1.0, 1.0, "estimates", "f", "1")
KEY = "account_id=111122223333/region=eu-west-3/year=2026/month=10/2026-10-05_{}.snappy.parquet"


@pytest.fixture(scope="module")
def moto() -> Iterator[S3Server]:
    """A server of its own: it is told to enforce policies, in which `?` is one character."""
    with serve_s3(with_athena=True) as server:
        yield server


@pytest.fixture
def guarded(moto: S3Server) -> Iterator[S3Server]:
    _tell(moto, "reset", "")
    yield moto
    _tell(moto, "reset-auth", "1000000000")


def _tell(server: S3Server, what: str, body: str) -> None:
    plain = {"Content-Type": "text/plain"}
    urlopen(Request(f"{server.endpoint}/moto-api/{what}", body.encode(), plain, method="POST")).close()


def _client(server: S3Server, service: str) -> Any:
    return _as(server, service, {"access_key_id": "k", "secret_access_key": "s"})


def _as(server: S3Server, service: str, key: Mapping[str, str]) -> Any:
    plain: dict[str, Any] = {f"aws_{name}": value for name, value in key.items()}
    return boto3.client(service, endpoint_url=server.endpoint, region_name="eu-west-3", **plain)  # type: ignore[call-overload]


def cluster(name: str = "prod") -> ClusterSettings:
    return ClusterSettings(
        name=name, endpoint="http://kubecost", provider="aws", account="111122223333", region="eu-west-3"
    )


def export(server: S3Server, **identity: Any) -> ExportSettings:
    content = {
        "location": "s3://costs/exports",
        "layouts": ["drop_in", "native"],
        "identity": {"endpoint": server.endpoint, "region": "eu-west-3", **identity},
        "glue": {"database": "costs"},
    }
    return ExportSettings.model_validate(content)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    pq.write_table(pa.table({"name": ["x"]}), tmp_path / "day.parquet")
    return tmp_path / "day.parquet"


def test_the_policy_of_a_cluster_allows_its_days_and_a_neighbours_is_403(guarded: S3Server, file: Path) -> None:
    guarded.client().create_bucket(Bucket="costs")
    bucket = open_bucket(export(guarded, **_key_of(guarded, policy_of(cluster(), export(guarded), "123456789012"))))

    for allowed in (KEY.format("prod"), "cluster=prod/date=2026-10-05/allocations/allocations.parquet"):
        bucket.put(allowed, file, MANIFEST)
        assert bucket.describe(allowed) == MANIFEST
    for refused in (
        KEY.format("prod-b"),
        KEY.format("prod").replace("eu-west-3", "eu-west-1"),
        "cluster=prod-b/date=2026-10-05/allocations/allocations.parquet",
    ):
        with pytest.raises(ExportError, match=r"AccessDenied|Forbidden.*iam-policy"):
            bucket.put(refused, file, MANIFEST)


def test_a_day_that_the_bucket_refuses_fails_alone(guarded: S3Server, file: Path) -> None:
    guarded.client().create_bucket(Bucket="costs")
    policy: Any = policy_of(cluster(), export(guarded), "123456789012")
    policy["Statement"].append(
        {"Effect": "Deny", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::costs/*/2026-10-04_prod*"}
    )
    bucket = open_bucket(export(guarded, **_key_of(guarded, policy)))
    days = [KEY.replace("2026-10-05", f"2026-10-0{day}").format("prod") for day in (3, 4, 5)]

    refused = list[str]()
    for day in days:
        try:
            bucket.put(day, file, MANIFEST)
        except ExportError as error:
            refused.append(str(error))

    assert len(refused) == 1
    assert days[1] in refused[0]
    assert [one.key for one in bucket.list("account_id=111122223333/region=eu-west-3/", "")] == [days[0], days[2]]


def _key_of(server: S3Server, policy: dict[str, Any]) -> dict[str, str]:
    """Return the key of a user who may do what the policy says, enforced from now on."""
    iam = _client(server, "iam")
    iam.create_user(UserName="prod")
    iam.put_user_policy(UserName="prod", PolicyName="export", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="prod")["AccessKey"]
    _tell(server, "reset-auth", "0")
    return {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}


def test_the_policy_names_one_character_for_each_of_the_day_and_lists_by_prefix(guarded: S3Server) -> None:
    """What the server above does not evaluate: conditions."""
    statements: Any = policy_of(cluster(), export(guarded), "1")["Statement"]
    write, listing = statements[:2]

    root = "arn:aws:s3:::costs/exports/"
    path = f"{root}account_id=111122223333/region=eu-west-3"
    assert write["Resource"] == [
        f"{path}/year=????/month=??/????-??-??_prod.snappy.parquet",
        f"{root}cluster=prod/date=????-??-??/*",
    ]
    prefixes = ["exports/account_id=111122223333/region=eu-west-3/*", "exports/cluster=prod/*"]
    assert listing["Condition"] == {"StringLike": {"s3:prefix": prefixes}}


def test_the_policy_lets_answers_be_written_to_their_folder_alone(guarded: S3Server, file: Path) -> None:
    guarded.client().create_bucket(Bucket="costs")
    settings = export(guarded)
    settings = settings.model_copy(
        update={"glue": GlueSettings.model_validate({"database": "costs", "results": "s3://costs/answers"})}
    )
    s3 = _as(guarded, "s3", _key_of(guarded, policy_of(cluster(), settings, "123456789012")))

    s3.put_object(Bucket="costs", Key="answers/1.csv", Body=b"1")
    for other in ("answers-of-others/1.csv", "1.csv"):
        with pytest.raises(ClientError, match=r"AccessDenied|Forbidden"):
            s3.put_object(Bucket="costs", Key=other, Body=b"1")
    with pytest.raises(ValidationError, match="results"):
        GlueSettings.model_validate({"database": "costs", "results": "s3://costs"})


def test_the_policy_lets_a_table_be_read_and_not_be_dropped_and_no_secret_but_its_own(guarded: S3Server) -> None:
    """The server knows actions; of what they are allowed is in the document."""
    secrets, glue = _client(guarded, "secretsmanager"), _client(guarded, "glue")
    arn = secrets.create_secret(Name="ca-of-prod", SecretString="ca")["ARN"]
    glue.create_database(DatabaseInput={"Name": "costs"})
    glue.create_table(DatabaseName="costs", TableInput={"Name": "kubecost_table"})
    with_secret = ClusterSettings.model_validate({**cluster().model_dump(exclude_unset=True), "ca_secret": {"id": arn}})
    policy: Any = policy_of(with_secret, export(guarded), "123456789012")
    key = _key_of(guarded, policy)
    secrets, glue = (_as(guarded, service, key) for service in ("secretsmanager", "glue"))

    assert secrets.get_secret_value(SecretId=arn)["SecretString"] == "ca"
    assert glue.get_table(DatabaseName="costs", Name="kubecost_table")["Table"]["Name"] == "kubecost_table"
    with pytest.raises(ClientError, match="AccessDenied"):
        glue.delete_table(DatabaseName="costs", Name="kubecost_table")
    with pytest.raises(ClientError, match="AccessDenied"):
        secrets.put_secret_value(SecretId=arn, SecretString="mine")

    allowed = {one["Sid"]: one["Resource"] for one in policy["Statement"]}
    here = "arn:aws:glue:eu-west-3:123456789012"
    assert allowed["ReadItsAuthority"] == [arn]
    assert allowed["RegisterItsPartitions"] == [
        f"{here}:catalog",
        f"{here}:database/costs",
        f"{here}:table/costs/kubecost_table",
        f"{here}:table/costs/allocations",
        f"{here}:table/costs/allocations_*",
    ]


def test_without_a_secret_and_a_catalog_the_policy_allows_neither(guarded: S3Server) -> None:
    secrets = _client(guarded, "secretsmanager")
    secrets.create_secret(Name="ca-of-prod", SecretString="ca")
    settings = export(guarded).model_copy(update={"glue": None})
    key = _key_of(guarded, policy_of(cluster(), settings, "123456789012"))

    with pytest.raises(ClientError, match="AccessDenied"):
        _as(guarded, "secretsmanager", key).get_secret_value(SecretId="ca-of-prod")
    with pytest.raises(ClientError, match="AccessDenied"):
        _as(guarded, "glue", key).get_table(DatabaseName="costs", Name="kubecost_table")


def test_roles_are_assumed_one_after_the_other_with_the_external_id(guarded: S3Server) -> None:
    identity = AwsIdentitySettings.model_validate(
        {
            "endpoint": guarded.endpoint,
            "region": "eu-west-3",
            "access_key_id": "k",
            "secret_access_key": "s",
            "role_arns": [CHILD, PARENT],
            "external_id": "finops",
            "session_name": "export-prod",
        }
    )
    session = open_session(identity)

    who = open_client(session, "sts", identity).get_caller_identity()

    assert who["Account"] == "444455556666"
    assert who["Arn"].endswith("assumed-role/parent/export-prod")


def test_a_session_renews_itself_before_it_ends(guarded: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = AwsIdentitySettings.model_validate(
        {
            "endpoint": guarded.endpoint, "region": "eu-west-3", "access_key_id": "k", "secret_access_key": "s",
            "role_arns": [CHILD, PARENT],
        }
    )  # fmt: skip
    session = open_session(identity)
    credentials: Any = session.get_credentials()
    first = credentials.get_frozen_credentials().access_key

    # An hour is all that AWS gives a chain of roles; botocore renews in the last quarter of it.
    later = datetime.now(UTC) + timedelta(minutes=50)
    monkeypatch.setattr(botocore.credentials, "_local_now", lambda: later)
    credentials._time_fetcher = lambda: later

    assert credentials.get_frozen_credentials().access_key != first


def test_a_service_account_of_eks_starts_the_chain(guarded: S3Server, tmp_path: Path) -> None:
    """IRSA: a token in a file and a role in the environment, then the role in the account of the bucket."""
    (tmp_path / "token").write_text("a.b.c")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
        "AWS_ROLE_ARN": CHILD,
        "AWS_ENDPOINT_URL": guarded.endpoint,
        "AWS_REGION": "eu-west-3",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
        "AWS_CONFIG_FILE": "/nowhere",
    }
    code = (
        "from kubecost_pipelines.aws import open_client, open_session\n"
        "from kubecost_pipelines.settings import AwsIdentitySettings\n"
        f"identity = AwsIdentitySettings.model_validate({{'role_arns': ['{PARENT}']}})\n"
        "session = open_session(identity)\n"
        "print(open_client(session, 'sts', identity).get_caller_identity()['Arn'])\n"
    )

    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)

    assert done.stdout.strip() == "arn:aws:sts::444455556666:assumed-role/parent/kubecost-pipelines", done.stderr
