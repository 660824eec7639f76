"""Policies: what the identity of one cluster's export must be allowed in AWS, and nothing else.

`?` stands for one character: with `*` in its place, `*_prod.snappy.parquet` would let the cluster `prod` write the
files of `team_prod`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kubecost_pipelines.core.exports.identity import ExportedCluster, aws_partition

DAY = "????-??-??"

_CATALOG = [
    "glue:GetDatabase",
    "glue:CreateDatabase",
    "glue:GetTable",
    "glue:CreateTable",
    "glue:UpdateTable",
    "glue:GetPartition",
    "glue:GetPartitions",
    "glue:BatchCreatePartition",
    "glue:UpdatePartition",
]
_ATHENA = [
    "athena:StartQueryExecution",
    "athena:GetQueryExecution",
    "athena:GetQueryResults",
    "athena:StopQueryExecution",
]


@dataclass(frozen=True)
class GluePolicy:
    """The tables that an export registers in, and where Athena counts them; Glue knows nothing smaller."""

    region: str
    account: str
    database: str
    tables: tuple[str, ...]
    workgroup: str
    results: str | None = None
    """Bucket and folder of the answers, without `s3://`."""

    def statements(self) -> list[dict[str, Any]]:
        """Return what may be done with them."""
        aws = f"arn:{aws_partition(self.region)}"
        here = f"{self.region}:{self.account}"
        tables = [f"{aws}:glue:{here}:table/{self.database}/{table}" for table in self.tables]
        found = [
            _allow(
                "RegisterItsPartitions",
                _CATALOG,
                [f"{aws}:glue:{here}:catalog", f"{aws}:glue:{here}:database/{self.database}", *tables],
            ),
            _allow("CountInAthena", _ATHENA, [f"{aws}:athena:{here}:workgroup/{self.workgroup}"]),
        ]
        if self.results:
            bucket, _, prefix = self.results.partition("/")
            place = [f"{aws}:s3:::{bucket}", f"{aws}:s3:::{bucket}/{prefix.rstrip('/')}/*"]
            found.append(_allow("KeepAnswers", ["s3:GetBucketLocation", "s3:PutObject", "s3:GetObject"], place))
        return found


def export_policy(
    cluster: ExportedCluster,
    name: str,
    *,
    bucket: str,
    prefix: str,
    layouts: Sequence[str],
    glue: GluePolicy | None = None,
    secrets: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the policy document for one cluster.

    Args:
        cluster: whose files.
        name: its name in the settings.
        bucket: which bucket.
        prefix: what the keys begin with, "" or ending with a slash.
        layouts: `drop_in`, `native`.
        glue: the tables to register in.
        secrets: ARNs of the secrets to read.
    """
    root = f"{prefix}account_id={cluster.account}/region={cluster.region}"
    written = {
        "drop_in": f"{root}/year=????/month=??/{DAY}_{cluster.name}.snappy.parquet",
        "native": f"{prefix}cluster={name}/date={DAY}/*",
    }
    listed = {"drop_in": f"{root}/*", "native": f"{prefix}cluster={name}/*"}
    arn = f"arn:{aws_partition(cluster.region)}:s3:::{bucket}"
    statements = [
        _allow("WriteItsDays", ["s3:PutObject", "s3:GetObject"], [f"{arn}/{written[layout]}" for layout in layouts]),
        _allow("ListItsDays", ["s3:ListBucket"], [arn])
        | {"Condition": {"StringLike": {"s3:prefix": [listed[layout] for layout in layouts]}}},
    ]
    if glue:
        statements.extend(glue.statements())
    if secrets:
        statements.append(_allow("ReadItsAuthority", ["secretsmanager:GetSecretValue"], list(secrets)))
    return {"Version": "2012-10-17", "Statement": statements}


def _allow(sid: str, actions: list[str], resources: list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}
