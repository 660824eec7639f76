"""From the bill to the bucket: one day through every table, in both layouts, and as Athena sees it.

The bill and the cluster are nise's (data/README.md); what a day of October costs is worked out by hand below.
"""

from collections.abc import Callable
from uuid import uuid4

import pytest

from kubecost_pipelines.settings import CloudStoreSettings
from kubecost_pipelines_tests.dagster_run import Deployment
from kubecost_pipelines_tests.exports.deployment import FOLDER, cluster, export, read
from kubecost_pipelines_tests.living import rows_of
from kubecost_pipelines_tests.replay import DATA, Replay
from kubecost_pipelines_tests.s3 import S3Server

DAY = "2026-10-05"
ON_SAVINGS_PLAN = "i-037b331e1165925c8"

# October, by what the bill says of it (test_third_party_month), over its 31 days: four nodes on demand and one on a
# Savings Plan; six volumes; the traffic of six nodes. The bill leaves the reserved node's cost empty: it keeps its
# estimate, 24 h × (4 cores × 0.031611 + 16 GiB × 0.004237). The control plane is 24 h × 0.10.
SAVINGS_PLAN_NODE = 102.8208 / 31
EXPECTED = 4 * 142.848 / 31 + SAVINGS_PLAN_NODE + 4.661664 + 6 * 8.0 / 31 + 6 * 3.72 / 31 + 2.4


def test_the_exported_day_is_what_the_bill_says_and_what_the_lake_has(
    athena: S3Server, replay: Replay, dagster_run: Callable[..., Deployment]
) -> None:
    bucket = f"costs-{uuid4().hex[:12]}"
    athena.client().create_bucket(Bucket=bucket)
    glue = {"database": bucket.replace("-", "_"), "results": f"s3://{bucket}/answers/"}
    settings = export(athena, bucket, layouts=("drop_in", "native"), source="reconciled", glue=glue)
    bill = CloudStoreSettings(provider="aws", id="111122223333", export=(DATA / "aws/bills/cur").as_uri())
    run = dagster_run(cloud_stores=[bill], clusters=[cluster(replay, account="111122223333")], export=settings)

    result = run()

    assert result.success, result.error
    assert result.checks["bill_is_conserved"]
    assert result.checks["cluster_is_conserved"]
    assert result.checks["athena_agrees"]
    drop_in = read(athena, bucket, f"{FOLDER}/{DAY}_prod-eks-1.snappy.parquet")
    native = read(athena, bucket, f"cluster=prod-eks-1/date={DAY}/allocations/allocations.parquet")
    lake = [cost for (cost,) in rows_of(run.settings.lake, "reconciled_allocations", "total_cost")]
    assert len(drop_in) == len(native) == len(lake)
    assert sum(lake) == pytest.approx(EXPECTED, abs=1e-6)
    assert sum(row["totalCost"] for row in drop_in) == pytest.approx(sum(lake), rel=1e-12)
    assert sum(row["total_cost"] for row in native) == pytest.approx(sum(lake), rel=1e-12)
    assert {(row["cpuCost"], row["cpuCostAdjustment"], row["totalCost"]) for row in drop_in} == {
        (row["cpu_cost"], row["cpu_cost_adjustment"], row["total_cost"]) for row in native
    }
    # The workloads of a node and its idleness cost what the node does; its volumes and its traffic are not in these.
    machine = [
        sum(row[f"{part}_cost"] + row[f"{part}_cost_adjustment"] for part in ("cpu", "ram", "gpu"))
        for row in native
        if row["provider_id"] == ON_SAVINGS_PLAN
    ]
    assert sum(machine) == pytest.approx(SAVINGS_PLAN_NODE, rel=1e-6)
