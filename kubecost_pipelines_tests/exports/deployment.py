"""What tests of exports deploy: the recorded cluster, and an export into a bucket."""

import io
from typing import Any

import pyarrow.parquet as pq

from kubecost_pipelines.settings import AwsIdentitySettings, ClusterSettings, ExportSettings
from kubecost_pipelines_tests.replay import Replay
from kubecost_pipelines_tests.s3 import S3Server

ARN = "arn:aws:eks:us-east-1:111122223333:cluster/prod-eks-1"
EXPORT = "allocation_export/prod-eks-1"
ALLOCATIONS = "allocations/prod-eks-1"
FOLDER = "account_id=111122223333/region=us-east-1/year=2026/month=10"


def cluster(replay: Replay, **options: Any) -> ClusterSettings:
    plain: dict[str, Any] = {"endpoint": replay.endpoint, "provider": "aws", "cluster_id": ARN, "flavour": "kubecost"}
    return ClusterSettings(**({"name": "prod-eks-1", "max_attempts": 1} | plain | options))


def export(s3: S3Server, bucket: str, **options: Any) -> ExportSettings:
    identity = AwsIdentitySettings.model_validate(
        {"endpoint": s3.endpoint, "region": "us-east-1", "access_key_id": "k", "secret_access_key": "s"}
    )
    chosen: dict[str, Any] = {"location": f"s3://{bucket}", "source": "estimates", "identity": identity, **options}
    return ExportSettings.model_validate(chosen)


def keys(s3: S3Server, bucket: str) -> list[str]:
    return [found["Key"] for found in s3.client().list_objects_v2(Bucket=bucket).get("Contents", [])]


def read(s3: S3Server, bucket: str, key: str) -> list[dict[str, Any]]:
    body = s3.client().get_object(Bucket=bucket, Key=key)["Body"].read()
    return pq.ParquetFile(io.BytesIO(body)).read().to_pylist()
