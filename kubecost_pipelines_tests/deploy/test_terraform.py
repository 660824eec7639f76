"""`deploy/terraform`, applied to a server, used with the roles that it made, and taken away again."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from kubecost_pipelines.core.tables import RECONCILED_ALLOCATIONS
from kubecost_pipelines.settings import ClusterSettings, ExportSettings, GlueSettings
from kubecost_pipelines.sinks.buckets import open_bucket
from kubecost_pipelines.sinks.glue import GlueCatalog
from kubecost_pipelines_tests.deploy.terraform import Terraform, terraform_in
from kubecost_pipelines_tests.s3 import S3Server, serve_s3

# Applied once, by one worker.

CLUSTERS = [
    {"name": "prod", "account_id": "111122223333", "region": "eu-central-1", "role": "prod"},
    {"name": "team_prod", "account_id": "111122223333", "region": "eu-central-1", "role": "team"},
]
VARIABLES = {
    "region": "eu-central-1",
    "bucket": "lantern-costs",
    "clusters": CLUSTERS,
    "external_id": "lantern-books-9f2c41",
    "labels": ["app", "team"],
    "annotations": ["owner/Team"],
    # The provider waits 55 seconds for a lifecycle: that one is planned, not applied.
    "manage_lifecycle": False,
}


@dataclass
class Applied:
    """The module on its server."""

    server: S3Server
    terraform: Terraform
    variables: dict[str, Any]
    outputs: dict[str, Any]

    def client(self, service: Any, **credentials: str) -> Any:
        keys = credentials or {"aws_access_key_id": "k", "aws_secret_access_key": "s"}
        client: Any = boto3.client
        return client(service, endpoint_url=self.server.endpoint, region_name="eu-central-1", **keys)


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Applied]:
    """Apply the role of the pipeline, then the rest, as deploy/README.md tells."""
    with serve_s3(with_athena=True) as server:
        role = terraform_in(tmp_path_factory.mktemp("role"), server.endpoint, "cluster-account")
        role(
            "apply", "-auto-approve", "-input=false",
            region="eu-central-1", bucket="lantern-costs", bucket_account="123456789012",
            oidc_provider_arn="arn:aws:iam::111122223333:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/9F2C",
            bill_buckets=["lantern-bills"],
        )  # fmt: skip
        variables = {**VARIABLES, **role.outputs()}
        main = terraform_in(tmp_path_factory.mktemp("main"), server.endpoint)
        main("apply", "-auto-approve", "-input=false", **variables)
        yield Applied(server, main, variables, main.outputs())


def test_a_second_plan_finds_nothing_to_change(applied: Applied) -> None:
    # Exit code 2 would say that there are changes.
    applied.terraform("plan", "-detailed-exitcode", "-input=false", **applied.variables)


def test_the_bucket_is_encrypted_versioned_and_private(applied: Applied) -> None:
    s3 = applied.client("s3")

    encryption = s3.get_bucket_encryption(Bucket="lantern-costs")["ServerSideEncryptionConfiguration"]["Rules"]
    assert [rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] for rule in encryption] == ["AES256"]
    assert s3.get_bucket_versioning(Bucket="lantern-costs")["Status"] == "Enabled"
    blocked = s3.get_public_access_block(Bucket="lantern-costs")["PublicAccessBlockConfiguration"]
    assert blocked == dict.fromkeys(
        ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"], True
    )


def test_each_refusal_of_the_bucket_stands_in_a_statement_of_its_own(applied: Applied) -> None:
    policy = json.loads(applied.client("s3").get_bucket_policy(Bucket="lantern-costs")["Policy"])

    refused = [statement["Condition"] for statement in policy["Statement"] if statement["Effect"] == "Deny"]

    # Two conditions in one statement must both hold: nothing would be refused that speaks TLS 1.1.
    assert refused == [
        {"Bool": {"aws:SecureTransport": "false"}},
        {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
    ]


def test_replaced_days_and_answers_expire(applied: Applied) -> None:
    chosen = {**applied.variables, "manage_lifecycle": True, "expire_exports_after_days": 400}
    applied.terraform("plan", "-out=plan", "-input=false", **chosen)

    plan = json.loads(applied.terraform("show", "-json", "plan"))
    [lifecycle] = [c for c in plan["resource_changes"] if c["type"] == "aws_s3_bucket_lifecycle_configuration"]
    rules = {rule["id"]: rule for rule in lifecycle["change"]["after"]["rule"]}

    assert rules["what-a-replaced-day-leaves"]["noncurrent_version_expiration"][0]["noncurrent_days"] == 30
    assert rules["what-a-replaced-day-leaves"]["abort_incomplete_multipart_upload"][0]["days_after_initiation"] == 2
    assert rules["answers-of-athena"]["filter"][0]["prefix"] == "athena-results/"
    assert rules["answers-of-athena"]["expiration"][0]["days"] == 7
    assert rules["old-exports"]["expiration"][0]["days"] == 400


def test_the_drop_in_table_has_the_columns_that_dashboards_know(applied: Applied) -> None:
    table = applied.client("glue").get_table(DatabaseName="kubecost_db", Name="kubecost_table")["Table"]

    columns = [(column["Name"], column["Type"]) for column in table["StorageDescriptor"]["Columns"]]
    assert len(columns) == 58 + 3
    assert columns[:5] == [
        ("name", "string"),
        ("window.start", "timestamp"),
        ("window.end", "timestamp"),
        ("minutes", "double"),
        ("cpucores", "double"),
    ]
    assert columns[38:40] == [("totalefficiency", "double"), ("properties.provider", "string")]
    assert columns[57:] == [
        ("properties.providerid", "string"),
        ("properties.labels.app", "string"),
        ("properties.labels.team", "string"),
        ("properties.annotations.owner/team", "string"),
    ]
    assert [key["Name"] for key in table["PartitionKeys"]] == ["account_id", "region", "year", "month"]


def test_athena_computes_the_partitions(applied: Applied) -> None:
    glue = applied.client("glue")
    table = glue.get_table(DatabaseName="kubecost_db", Name="allocations_volumes")["Table"]

    assert [key["Name"] for key in table["PartitionKeys"]] == ["cluster", "date"]
    projected = {name: value for name, value in table["Parameters"].items() if "." in name}
    assert projected == {
        "projection.enabled": "true",
        "projection.cluster.type": "enum",
        "projection.cluster.values": "prod,team_prod",
        "projection.date.type": "date",
        "projection.date.format": "yyyy-MM-dd",
        "projection.date.interval.unit": "DAYS",
        "projection.date.range": "2020-01-01,NOW",
        "storage.location.template": "s3://lantern-costs/exports/cluster=${cluster}/date=${date}/volumes/",
    }
    tables = {table["Name"] for table in glue.get_tables(DatabaseName="kubecost_db")["TableList"]}
    assert tables == {"kubecost_table", "allocations", "allocations_volumes", "allocations_load_balancers"}


def test_the_export_finds_its_tables_as_it_would_make_them(applied: Applied) -> None:
    glue = GlueSettings(projection=True)
    export = ExportSettings(
        location="s3://lantern-costs/exports", layouts=("drop_in", "native"), glue=glue,
        labels=("app", "team"), annotations=("owner/Team",),
    )  # fmt: skip
    clusters = [
        ClusterSettings(
            name=one["name"],
            endpoint="http://kubecost",
            provider="aws",
            account=one["account_id"],
            region=one["region"],
        )
        for one in CLUSTERS
    ]

    for wanted in GlueCatalog(export, glue, RECONCILED_ALLOCATIONS, open_bucket(export), clusters).tables():
        made = applied.client("glue").get_table(DatabaseName=glue.database, Name=wanted.name)["Table"]
        columns = [(column["Name"], column["Type"]) for column in made["StorageDescriptor"]["Columns"]]
        assert columns == list(wanted.columns), wanted.name
        assert [key["Name"] for key in made["PartitionKeys"]] == list(wanted.partition_keys)
        assert {name: value for name, value in made["Parameters"].items() if "." in name} == wanted.parameters


def test_the_workgroup_encrypts_answers_and_cuts_dear_queries(applied: Applied) -> None:
    group = applied.client("athena").get_work_group(WorkGroup="kubecost-pipelines")["WorkGroup"]["Configuration"]

    assert group["EnforceWorkGroupConfiguration"]
    assert group["BytesScannedCutoffPerQuery"] == 100_000_000_000
    assert group["ResultConfiguration"]["EncryptionConfiguration"] == {"EncryptionOption": "SSE_S3"}
    assert group["ResultConfiguration"]["OutputLocation"] == "s3://lantern-costs/athena-results/"


def test_an_export_role_trusts_the_pipeline_with_its_external_id_alone(applied: Applied) -> None:
    role = applied.client("iam").get_role(RoleName="kubecost-pipelines-prod")["Role"]

    [statement] = role["AssumeRolePolicyDocument"]["Statement"]

    assert statement["Principal"] == {"AWS": "arn:aws:iam::123456789012:role/kubecost-pipelines"}
    assert statement["Condition"] == {"StringEquals": {"sts:ExternalId": "lantern-books-9f2c41"}}
    assert role["MaxSessionDuration"] == 3600


def test_the_pipelines_role_is_for_one_service_account(applied: Applied) -> None:
    role = applied.client("iam").get_role(RoleName="kubecost-pipelines")["Role"]

    [statement] = role["AssumeRolePolicyDocument"]["Statement"]

    issuer = "oidc.eks.eu-central-1.amazonaws.com/id/9F2C"
    assert statement["Condition"]["StringEquals"] == {
        f"{issuer}:sub": "system:serviceaccount:kubecost-pipelines:kubecost-pipelines",
        f"{issuer}:aud": "sts.amazonaws.com",
    }


def test_listing_is_allowed_below_the_clusters_own_prefixes(applied: Applied) -> None:
    policy = applied.client("iam").get_role_policy(RoleName="kubecost-pipelines-prod", PolicyName="export")

    listing = [s for s in policy["PolicyDocument"]["Statement"] if s["Action"] == "s3:ListBucket"]

    # Moto does not look at this condition: it is read here instead of tried.
    assert [statement["Condition"] for statement in listing] == [
        {
            "StringLike": {
                "s3:prefix": [
                    "exports/account_id=111122223333/region=eu-central-1/*",
                    "exports/cluster=prod/*",
                    "athena-results/*",
                ]
            }
        }
    ]


@pytest.fixture
def as_role(applied: Applied) -> Iterator[Callable[[str, str], Any]]:
    """Enforce policies from now on; gives a client of a service for a session of a role."""
    credentials = {}
    for name, arn in [
        *applied.outputs["export_role_arns"].items(),
        ("pipeline", applied.variables["pipeline_role_arn"]),
    ]:
        answer = applied.client("sts").assume_role(
            RoleArn=arn, RoleSessionName="test", ExternalId=VARIABLES["external_id"]
        )["Credentials"]
        credentials[name] = {
            "aws_access_key_id": answer["AccessKeyId"],
            "aws_secret_access_key": answer["SecretAccessKey"],
            "aws_session_token": answer["SessionToken"],
        }
    # Moto knows no condition of the bucket's policy: it would take each refusal for one without.
    s3 = applied.client("s3")
    policy = s3.get_bucket_policy(Bucket="lantern-costs")["Policy"]
    s3.delete_bucket_policy(Bucket="lantern-costs")
    _enforce_after(applied.server, calls=0)
    yield lambda role, service: applied.client(service, **credentials[role])
    _enforce_after(applied.server, calls=1_000_000_000)
    s3.put_bucket_policy(Bucket="lantern-costs", Policy=policy)


def _enforce_after(server: S3Server, calls: int) -> None:
    requests.post(f"{server.endpoint}/moto-api/reset-auth", data=str(calls), timeout=10).raise_for_status()


DAY = "exports/account_id=111122223333/region=eu-central-1/year=2026/month=10/2026-10-05"


def test_a_role_writes_the_days_of_its_cluster_and_no_other(as_role: Callable[[str, str], Any]) -> None:
    s3 = as_role("prod", "s3")

    for own in (f"{DAY}_prod.snappy.parquet", "exports/cluster=prod/date=2026-10-05/volumes/volumes.parquet"):
        s3.put_object(Bucket="lantern-costs", Key=own, Body=b"day")
        assert s3.get_object(Bucket="lantern-costs", Key=own)["Body"].read() == b"day"

    for foreign in (
        f"{DAY}_team_prod.snappy.parquet",
        f"{DAY}_prod-b.snappy.parquet",
        f"{DAY.replace('111122223333', '444455556666')}_prod.snappy.parquet",
        f"{DAY}/2026-10-05_prod.snappy.parquet",
        "exports/cluster=team_prod/date=2026-10-05/data.parquet",
        "lake/asset_costs/date=2026-10-05/data.parquet",
    ):
        assert _refused(s3.put_object, Bucket="lantern-costs", Key=foreign, Body=b"day"), foreign
        assert _refused(s3.get_object, Bucket="lantern-costs", Key=foreign), foreign


def test_a_role_cannot_delete_what_it_wrote(as_role: Callable[[str, str], Any]) -> None:
    s3 = as_role("prod", "s3")

    assert _refused(s3.delete_object, Bucket="lantern-costs", Key=f"{DAY}_prod.snappy.parquet")


def test_a_role_registers_partitions_of_the_tables_and_drops_none(as_role: Callable[[str, str], Any]) -> None:
    glue = as_role("prod", "glue")
    table = {"DatabaseName": "kubecost_db", "TableName": "kubecost_table"}
    partition = {
        "Values": ["111122223333", "eu-central-1", "2026", "10"],
        "StorageDescriptor": {"Location": f"s3://lantern-costs/{DAY.rpartition('/')[0]}/"},
    }

    answer = glue.batch_create_partition(**table, PartitionInputList=[partition])

    assert not answer.get("Errors")
    assert _refused(glue.batch_delete_partition, **table, PartitionsToDelete=[{"Values": partition["Values"]}])
    assert _refused(glue.delete_table, DatabaseName="kubecost_db", Name="kubecost_table")


def test_the_pipelines_own_role_keeps_the_lake_and_exports_nothing(as_role: Callable[[str, str], Any]) -> None:
    s3 = as_role("pipeline", "s3")

    s3.put_object(Bucket="lantern-costs", Key="lake/asset_costs/date=2026-10-05/data.parquet", Body=b"day")

    assert _refused(s3.put_object, Bucket="lantern-costs", Key=f"{DAY}_prod.snappy.parquet", Body=b"day")
    assert _refused(s3.delete_bucket, Bucket="lantern-costs")


def _refused(call: Callable[..., Any], **request: Any) -> bool:
    with pytest.raises(ClientError) as caught:
        call(**request)
    return bool(caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403)


def test_wrong_variables_end_with_the_cure(applied: Applied) -> None:
    wrong = {
        "clusters": [{"name": "prod*", "account_id": "11122223333", "region": "eu-central-1"}],
        "external_id": "short",
        "bytes_scanned_cutoff": 1,
    }

    refusal = applied.terraform.refusal("plan", "-input=false", "-refresh=false", **{**applied.variables, **wrong})

    # Terraform wraps its lines.
    errors = " ".join(refusal.split())
    assert "A cluster's name has letters, digits, dots, hyphens and underscores." in errors
    assert "write it in quotes, so that leading zeros stay" in errors
    assert "Make it 16 characters at least" in errors
    assert "Athena accepts 10 MiB (10485760) at least" in errors


def test_a_destroy_takes_all_of_it_away(applied: Applied) -> None:
    # A bucket with objects in it is not destroyed, which is as one wants it.
    s3 = applied.client("s3")
    s3.delete_bucket_policy(Bucket="lantern-costs")
    for version in s3.list_object_versions(Bucket="lantern-costs").get("Versions", []):
        s3.delete_object(Bucket="lantern-costs", Key=version["Key"], VersionId=version["VersionId"])

    applied.terraform("destroy", "-auto-approve", "-input=false", **applied.variables)

    assert applied.client("s3").list_buckets()["Buckets"] == []
    assert applied.client("glue").get_databases()["DatabaseList"] == []
    assert [role["RoleName"] for role in applied.client("iam").list_roles()["Roles"]] == ["kubecost-pipelines"]
