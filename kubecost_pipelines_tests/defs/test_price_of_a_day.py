"""What a node costs until its day settles, and after: nise's month, under a clock that moves."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from kubecost_pipelines.core.sharing import share
from kubecost_pipelines.defs import reconciled_allocations
from kubecost_pipelines.settings import CloudStoreSettings, ClusterSettings
from kubecost_pipelines_tests.dagster_run import deploy
from kubecost_pipelines_tests.defs.test_third_party_month import ACCOUNT, ON_SAVINGS_PLAN, RESERVED
from kubecost_pipelines_tests.replay import DATA, serve_replay

LIST_PRICE = 4.661664  # 24 h × (4 cores × 0.031611 + 16 GiB × 0.004237)
PLAN_PRICE = 102.8208 / 31


def test_a_new_day_is_priced_by_the_settled_ones_until_it_settles(tmp_path: Path) -> None:
    bill = CloudStoreSettings(provider="aws", id=ACCOUNT, export=(DATA / "aws/bills/cur").as_uri())
    now = datetime(2026, 10, 9, 12, tzinfo=UTC)  # the 6th has settled, the 7th ended a day and a half ago
    with serve_replay() as replay:
        cluster = ClusterSettings(name="prod-eks-1", endpoint=replay.endpoint, provider="aws", account=ACCOUNT)
        days = ("2026-10-05", "2026-10-07")
        with deploy(tmp_path, [bill], [cluster], days=days, clock=lambda: now) as deployment:
            first = deployment()
            young = nodes_of(tmp_path, "2026-10-07")
            young_workloads = workloads_of(tmp_path, "2026-10-07")
            now = datetime(2026, 10, 10, 12, tzinfo=UTC)
            second = deployment(
                "reconciled_assets/aws/111122223333", "asset_costs", "reconciled_allocations/prod-eks-1"
            )
            settled = nodes_of(tmp_path, "2026-10-07")
            settled_workloads = workloads_of(tmp_path, "2026-10-07")

    assert first.success, first.error
    assert second.success, second.error
    assert young[ON_SAVINGS_PLAN] == ("recent", False, pytest.approx(PLAN_PRICE, abs=1e-9))
    assert young[RESERVED] == ("list", False, pytest.approx(LIST_PRICE, abs=1e-6))  # never billed, so never recent
    assert settled[ON_SAVINGS_PLAN] == ("billed", True, pytest.approx(PLAN_PRICE, abs=1e-9))
    assert young_workloads[ON_SAVINGS_PLAN] == ({"recent"}, pytest.approx(PLAN_PRICE, abs=1e-9))
    assert settled_workloads[ON_SAVINGS_PLAN] == ({"billed"}, pytest.approx(PLAN_PRICE, abs=1e-9))


def nodes_of(folder: Path, day: str) -> dict[str, tuple[Any, ...]]:
    query = f"""
        SELECT provider_id, cost_basis, is_reconciled, total_cost
        FROM '{folder}/lake/asset_costs/date={day}/data.parquet' WHERE asset_type = 'Node'
    """
    with duckdb.connect() as engine:
        return {node: tuple(rest) for node, *rest in engine.execute(query).fetchall()}


def workloads_of(folder: Path, day: str) -> dict[str, tuple[Any, ...]]:
    """Return, per node, the price bases of what has no volume there, and the cost of its CPU and RAM with idle."""
    query = f"""
        SELECT provider_id, list(DISTINCT cost_basis) FILTER (pv_cost = 0),
            sum(cpu_cost + cpu_cost_adjustment + ram_cost + ram_cost_adjustment)
        FROM '{folder}/lake/reconciled_allocations/prod-eks-1/date={day}/data.parquet'
        WHERE provider_id IS NOT NULL GROUP BY 1
    """
    with duckdb.connect() as engine:
        return {node: (set(bases), cost) for node, bases, cost in engine.execute(query).fetchall()}


def test_the_way_of_sharing_that_is_configured_moves_no_total(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allocation = {"share_idle": "node", "share_namespaces": ["kube-system"], "share_labels": ["environment:prod"]}
    checked = []

    def watched(rows: Any, policy: Any) -> Any:
        checked.append((policy.share_namespaces, policy.share_labels))
        shared = share(rows, policy)
        return shared if is_whole or not policy.share_labels else shared.filter(shared.shared_cost == 0)

    monkeypatch.setattr(reconciled_allocations, "share", watched)
    with serve_replay() as replay:
        cluster = ClusterSettings(name="prod-eks-1", endpoint=replay.endpoint, provider="aws", account=ACCOUNT)
        with deploy(tmp_path, [], [cluster], days=("2026-10-05", "2026-10-05"), allocation=allocation) as deployment:
            is_whole = True
            whole = deployment()
            is_whole = False
            broken = deployment("reconciled_allocations/prod-eks-1")

    assert whole.success, whole.error
    assert (("kube-system",), ("environment:prod",)) in checked
    assert whole.checks["distributions_are_zero_sum"]
    assert not broken.checks["distributions_are_zero_sum"]
