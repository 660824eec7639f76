"""Who a cluster is in an export: the account, region and id that its object keys and rows carry."""

import re
from dataclasses import dataclass

UNKNOWN = "unknown"
"""Stands for an account or region that a cluster does not have: Hive's path parts cannot be empty."""

_EKS_ARN = re.compile(r"arn:[^:]+:eks:(?P<region>[^:]*):(?P<account>[^:]*):cluster/(?P<name>[^/]+)")
_PARTITIONS = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "us-isof-": "aws-iso-f",
    "eu-isoe-": "aws-iso-e",
    "eusc-": "aws-eusc",
}
"""Regions outside `aws`, by how their names begin."""


@dataclass(frozen=True)
class ExportedCluster:
    """A cluster as an export names it: `cluster_id` is its ARN on EKS, and elsewhere what the settings say."""

    name: str
    account: str
    region: str
    cluster_id: str
    provider: str | None = None


def exported_cluster(
    name: str, provider: str | None, account: str | None, region: str | None, cluster_id: str | None
) -> ExportedCluster:
    """Return the identity that the settings of a cluster give; an EKS ARN alone is enough.

    Without an id, a cluster in AWS whose account and region are known gets the ARN that EKS gives it.
    """
    arn = _EKS_ARN.fullmatch(cluster_id or "")
    if arn:
        name, account, region = arn["name"], account or arn["account"], region or arn["region"]
    elif provider == "aws" and account and region and not cluster_id:
        cluster_id = f"arn:{aws_partition(region)}:eks:{region}:{account}:cluster/{name}"
    return ExportedCluster(name, account or UNKNOWN, region or UNKNOWN, cluster_id or name, provider)


def aws_partition(region: str) -> str:
    """Return the partition that an ARN of the region begins with."""
    return next((name for prefix, name in _PARTITIONS.items() if region.startswith(prefix)), "aws")
