"""An export through the real graph: a recorded cluster, a real S3 protocol, and the files read back."""

import io
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubecost_pipelines.settings import ExportSettings
from kubecost_pipelines_tests.dagster_run import Deployment
from kubecost_pipelines_tests.exports.deployment import ALLOCATIONS, ARN, EXPORT, FOLDER, cluster, export, keys, read
from kubecost_pipelines_tests.exports.old_exporter import FIXED, old_rows
from kubecost_pipelines_tests.replay import Replay
from kubecost_pipelines_tests.s3 import S3Server


def test_a_day_of_estimates_is_the_old_exporters_file_at_its_key(
    s3: S3Server, bucket: str, replay: Replay, dagster_run: Callable[..., Deployment]
) -> None:
    run = dagster_run(clusters=[cluster(replay)], export=export(s3, bucket, labels=("app", "environment")))

    result = run(ALLOCATIONS, EXPORT)

    assert result.success, result.error
    [key] = keys(s3, bucket)
    assert key == f"{FOLDER}/2026-10-05_prod-eks-1.snappy.parquet"
    source = replay.days["2026-10-05"]["allocation"]
    ours, theirs = read(s3, bucket, key), old_rows(source, ARN, ("app", "environment"))
    assert list(ours[0]) == [*FIXED, "properties.labels.app", "properties.labels.environment"]
    assert len(ours) == len(theirs) == 66
    for mine, old in zip(ours, theirs, strict=True):
        for name, value in old.items():
            assert mine[name] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value), name
    total = sum(item["totalCost"] for item in source.values())
    assert sum(row["totalCost"] for row in ours) == pytest.approx(total, rel=1e-9)
    manifest = s3.client().head_object(Bucket=bucket, Key=key)["Metadata"]
    assert (manifest["rows"], manifest["source"]) == ("66", "estimates")
    assert float(manifest["total-cost"]) == pytest.approx(total, rel=1e-9)


def test_the_native_layout_keeps_everything(
    s3: S3Server, bucket: str, replay: Replay, dagster_run: Callable[..., Deployment], tmp_path: Path
) -> None:
    run = dagster_run(clusters=[cluster(replay)], export=export(s3, bucket, layouts=("native", "drop_in")))

    assert run(ALLOCATIONS, EXPORT).success

    day = "cluster=prod-eks-1/date=2026-10-05"
    names = ("allocations", "load_balancers", "volumes")
    assert keys(s3, bucket) == [
        f"{FOLDER}/2026-10-05_prod-eks-1.snappy.parquet",
        *(f"{day}/{name}/{name}.parquet" for name in names),
    ]
    rows, volumes = (read(s3, bucket, f"{day}/{name}/{name}.parquet") for name in ("allocations", "volumes"))
    source = replay.days["2026-10-05"]["allocation"]
    assert [row["name"] for row in rows] == list(source)
    first = source["prod-eks-1/ip-10-0-0-0.ec2.internal/payments/payments-n0-p0/main"]
    assert dict(rows[0]["labels"]) == first["properties"]["labels"]
    assert {(row["account_id"], row["region"]) for row in rows} == {("111122223333", "us-east-1")}
    idle = next(row for row in rows if row["name"].endswith("__idle__"))
    assert idle["pod"] is None
    mounted = sum(volume["cost"] for item in source.values() for volume in (item.get("pvs") or {}).values())
    assert mounted > 0
    assert sum(volume["cost"] for volume in volumes) == pytest.approx(mounted)
    assert volumes[0]["provider_id"] == "vol-fc173c5f92883c779"
    body = s3.client().get_object(Bucket=bucket, Key=f"{day}/allocations/allocations.parquet")["Body"].read()
    file = pq.ParquetFile(io.BytesIO(body))
    group = file.metadata.row_group(0)
    assert {group.column(number).compression for number in range(group.num_columns)} == {"ZSTD"}
    assert [file.schema_arrow.field(name).type for name in ("start", "end")] == [pa.timestamp("us", "UTC")] * 2


def test_a_load_balancer_has_a_row_for_each_pod_that_it_serves(
    s3: S3Server, bucket: str, replay: Replay, dagster_run: Callable[..., Deployment]
) -> None:
    name = "prod-eks-1/ip-10-0-0-0.ec2.internal/payments/payments-n0-p0/main"
    balanced = {"service": "payments/web", "cost": 0.6, "hours": 24.0, "ip": "203.0.113.7", "private": False}
    item = replay.days["2026-10-05"]["allocation"][name]
    item |= {"lbAllocations": {"lb-1": balanced}, "loadBalancerCost": 0.6, "totalCost": item["totalCost"] + 0.6}
    run = dagster_run(clusters=[cluster(replay)], export=export(s3, bucket, layouts=("native",)))

    result = run(ALLOCATIONS, EXPORT)

    assert result.success, result.error
    [row] = read(s3, bucket, "cluster=prod-eks-1/date=2026-10-05/load_balancers/load_balancers.parquet")
    told = {"load_balancer": "lb-1", "service": "payments/web", "ip": "203.0.113.7", "is_private": False}
    assert row == {"name": name, "namespace": "payments", "pod": "payments-n0-p0", "hours": 24.0, "cost": 0.6} | told


def test_what_the_old_exporter_dropped_is_there_and_what_is_unknown_is_null(
    s3: S3Server, bucket: str, replay: Replay, dagster_run: Callable[..., Deployment]
) -> None:
    name = "prod-eks-1/ip-10-0-0-0.ec2.internal/payments/payments-n0-p0/main"
    item = replay.days["2026-10-05"]["allocation"][name]
    item |= {"cpuEfficiency": None, "gpuEfficiency": 0.5, "gpuRequestAverage": 2.0, "gpuUsageAverage": 1.0}
    item |= {"cpuCostIdle": 0.05, "ramCostIdle": 0.0}
    item["rawAllocationOnly"] = {"cpuCoreUsageMax": 0.9, "ramByteUsageMax": 2e9}
    item["properties"] |= {"namespaceLabels": {"team": "pay"}, "namespaceAnnotations": {"owner": "finance"}}
    item["properties"]["annotations"] = {"note": "own"}
    run = dagster_run(clusters=[cluster(replay)], export=export(s3, bucket, layouts=("native",)))

    result = run(ALLOCATIONS, EXPORT)

    assert result.success, result.error
    rows = read(s3, bucket, "cluster=prod-eks-1/date=2026-10-05/allocations/allocations.parquet")
    known, unknown = rows[0], rows[1]
    numbers = {
        "cpu_efficiency": None, "gpu_efficiency": 0.5, "gpu_request_average": 2.0, "gpu_usage_average": 1.0,
        "cpu_core_usage_max": 0.9, "ram_byte_usage_max": 2e9, "reported_cpu_idle_cost": 0.05,
        "reported_ram_idle_cost": 0.0, "reported_gpu_idle_cost": None,
    }  # fmt: skip
    assert {column: known[column] for column in numbers} == numbers
    assert dict(known["namespace_labels"]) == {"team": "pay"}
    assert dict(known["namespace_annotations"]) == {"owner": "finance"}
    # As in Kubecost, a pod has what its namespace has, where it says nothing itself.
    assert dict(known["labels"])["team"] == "pay"
    assert dict(known["annotations"]) == {"owner": "finance", "note": "own"}
    assert [unknown[column] for column in list(numbers)[1:]] == [None] * 8


def test_a_folder_takes_the_same_files(replay: Replay, dagster_run: Callable[..., Deployment], tmp_path: Path) -> None:
    settings = ExportSettings.model_validate({"location": (tmp_path / "out").as_uri(), "source": "estimates"})

    result = dagster_run(clusters=[cluster(replay)], export=settings)(ALLOCATIONS, EXPORT)

    assert result.success, result.error
    [file] = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert file.relative_to(tmp_path / "out").as_posix() == f"{FOLDER}/2026-10-05_prod-eks-1.snappy.parquet"
    assert pq.read_metadata(file).num_rows == 66
    assert result.materialized[EXPORT, "2026-10-05"]["dagster/partition_row_count"] == 66


def test_a_day_that_the_lake_lacks_fails_and_the_others_go_on(
    s3: S3Server, bucket: str, replay: Replay, dagster_run: Callable[..., Deployment]
) -> None:
    run = dagster_run(clusters=[cluster(replay)], export=export(s3, bucket), days=("2026-10-05", "2026-10-07"))
    assert run(ALLOCATIONS, days=("2026-10-05", "2026-10-05")).success
    assert run(ALLOCATIONS, days=("2026-10-07", "2026-10-07")).success

    result = run(EXPORT)

    assert not result.success
    assert "the lake has no 2026-10-06. Materialise it first" in result.error
    assert keys(s3, bucket) == [f"{FOLDER}/2026-10-0{day}_prod-eks-1.snappy.parquet" for day in (5, 7)]
    assert run.materialized_days(EXPORT) == {"2026-10-05", "2026-10-07"}
