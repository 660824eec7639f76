"""The main job on a month that nobody here wrote: every figure is nise's (data/README.md) or worked out by hand."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from kubecost_pipelines.settings import CloudStoreSettings, ClusterSettings
from kubecost_pipelines_tests.dagster_run import Deployment, Recorded, deploy
from kubecost_pipelines_tests.replay import DATA, serve_replay

ACCOUNT = "111122223333"
RESERVED, ON_SAVINGS_PLAN = "i-6e70918b368cf9885", "i-037b331e1165925c8"


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployment, Recorded]]:
    """Run all assets over all days of October, in one run."""
    folder = tmp_path_factory.mktemp("month")
    bill = CloudStoreSettings(provider="aws", id=ACCOUNT, export=(DATA / "aws/bills/cur").as_uri())
    with serve_replay() as replay:
        cluster = ClusterSettings(name="prod-eks-1", endpoint=replay.endpoint, provider="aws", account=ACCOUNT)
        with deploy(folder, [bill], [cluster], days=("2026-10-01", "2026-10-31")) as deployment:
            yield deployment, deployment()


def ask(deployment: Deployment, query: str) -> list[tuple[Any, ...]]:
    lake = Path(deployment.settings.lake.removeprefix("file://"))
    tables = {
        name: f"read_parquet('{lake}/{name}/{depth}/data.parquet', hive_partitioning=true)"
        for name, depth in {
            "cloud_billing": "*/*/*",
            "reconciled_assets": "*/*/*",
            "cloud_assets": "*/*/*",
            "asset_costs": "*",
            "allocations": "*/*",
            "reconciled_allocations": "*/*",
        }.items()
    }
    with duckdb.connect() as connection:
        return connection.execute(query.format(**tables)).fetchall()


def test_the_run_succeeds_and_every_day_of_every_asset_is_materialized(month: tuple[Deployment, Recorded]) -> None:
    _, recorded = month

    assert recorded.success, recorded.error
    assert len([day for _, day in recorded.materialized if day]) == 9 * 31  # the connection status has no days


def test_the_bill_adds_up_to_the_invoice(month: tuple[Deployment, Recorded]) -> None:
    deployment, _ = month

    [(billed, lines)] = ask(deployment, "SELECT sum(billed_cost), sum(line_items) FROM {cloud_billing}")

    assert round(billed, 4) == Decimal("4130.6352")
    assert lines == 32_736


def test_every_day_is_conserved_exactly(month: tuple[Deployment, Recorded]) -> None:
    deployment, recorded = month
    query = """
        SELECT date, sum(bill), sum(half) FROM (
            SELECT date, billed_cost AS bill, 0 AS half FROM {cloud_billing}
            UNION ALL SELECT date, 0, billed_cost FROM {reconciled_assets}
            UNION ALL SELECT date, 0, billed_cost FROM {cloud_assets}
        ) GROUP BY date
    """

    days = ask(deployment, query)

    assert len(days) == 31
    assert all(bill == halves for _, bill, halves in days)
    assert recorded.checks["bill_is_conserved"]


def test_six_of_six_nodes_and_volumes_are_found_every_day(month: tuple[Deployment, Recorded]) -> None:
    deployment, _ = month
    query = """
        SELECT date, asset_type, count(*), count(match_rule) FROM {asset_costs}
        WHERE asset_type IN ('Node', 'Disk') GROUP BY ALL
    """

    days = ask(deployment, query)

    assert len(days) == 62
    assert {(count, matched) for _, _, count, matched in days} == {(6, 6)}


def test_the_reserved_node_keeps_its_estimate_and_its_missing_cost_is_a_failed_check(
    month: tuple[Deployment, Recorded],
) -> None:
    deployment, recorded = month
    query = f"""
        SELECT bool_or(is_reconciled), sum(cost), sum(total_cost), sum(missing_cost_lines) FROM {{asset_costs}}
        WHERE provider_id = '{RESERVED}' AND asset_type = 'Node'
    """

    [(is_reconciled, cost, total, missing)] = ask(deployment, query)

    assert not is_reconciled
    assert total == cost == pytest.approx(31 * 4.661664, abs=1e-6)  # 24 h × (4 cores × 0.031611 + 16 GiB × 0.004237)
    assert missing == 744
    assert not recorded.checks["commitments_are_complete"]
    # The node is more than a tenth of the cluster's cost, so that too little of it is billed.
    failed = {name for name, passed in recorded.checks.items() if not passed}
    assert failed == {"commitments_are_complete", "settled_cost_is_billed"}


def test_the_savings_plan_node_costs_what_the_plan_charges_and_the_fee_is_not_counted_again(
    month: tuple[Deployment, Recorded],
) -> None:
    deployment, _ = month
    node = f"provider_id = '{ON_SAVINGS_PLAN}' AND asset_type = 'Node'"

    [(total,)] = ask(deployment, f"SELECT sum(total_cost) FROM {{asset_costs}} WHERE {node}")
    [(fee_billed, fee_effective)] = ask(
        deployment,
        "SELECT sum(billed_cost), sum(effective_cost) FROM {cloud_assets} WHERE charge_type = "
        "'SavingsPlanRecurringFee'",
    )

    assert total == pytest.approx(102.8208, abs=1e-9)
    assert (fee_billed, fee_effective) == (Decimal("102.8208"), 0)


def test_other_nodes_volumes_and_traffic_cost_what_was_billed(month: tuple[Deployment, Recorded]) -> None:
    deployment, _ = month
    query = """
        SELECT asset_type, provider_id, sum(total_cost) FROM {asset_costs}
        WHERE asset_type <> 'ClusterManagement' AND is_reconciled GROUP BY ALL
    """

    costs = ask(deployment, query)

    by_type: dict[str, set[float]] = {}
    for asset_type, provider_id, cost in costs:
        if provider_id != ON_SAVINGS_PLAN or asset_type == "Network":
            by_type.setdefault(asset_type, set()).add(round(cost, 5))
    assert by_type == {"Node": {142.848}, "Disk": {8.0}, "Network": {3.72}}


def test_each_day_reports_its_rows_its_sums_and_its_state(month: tuple[Deployment, Recorded]) -> None:
    _, recorded = month

    metadata = recorded.materialized[f"cloud_billing/aws/{ACCOUNT}", "2026-10-07"]

    assert metadata["dagster/partition_row_count"] == 66
    assert metadata["Σ billed_cost"] == 133.246297
    assert metadata["state"] == "settled"


def test_allocations_are_kept_whole(month: tuple[Deployment, Recorded]) -> None:
    deployment, _ = month

    [(rows, cost)] = ask(deployment, "SELECT count(*), sum(total_cost) FROM {allocations}")
    [(assets,)] = ask(deployment, "SELECT sum(cost) FROM {asset_costs} WHERE asset_type IN ('Node', 'Disk')")

    assert rows == 66 * 31
    assert cost == pytest.approx(assets, rel=1e-4)


def test_every_day_the_workloads_and_what_they_left_add_up_to_the_assets(
    month: tuple[Deployment, Recorded],
) -> None:
    deployment, recorded = month
    query = """
        SELECT date, sum(allocated), sum(owned) FROM (
            SELECT date, total_cost AS allocated, 0 AS owned FROM {reconciled_allocations}
            WHERE allocation_type <> 'external'
            UNION ALL SELECT date, 0, total_cost FROM {asset_costs}
        ) GROUP BY date
    """

    days = ask(deployment, query)

    assert len(days) == 31
    assert all(allocated == pytest.approx(owned, abs=1e-6) for _, allocated, owned in days)
    assert recorded.checks["cluster_is_conserved"]
    assert recorded.checks["allocations_have_a_node"]


def test_a_workload_on_the_savings_plan_node_costs_its_share_of_what_the_plan_charges(
    month: tuple[Deployment, Recorded],
) -> None:
    deployment, _ = month
    query = f"""
        SELECT sum(cpu_cost + cpu_cost_adjustment) / sum(cpu_core_hours) FROM {{reconciled_allocations}}
        WHERE provider_id = '{ON_SAVINGS_PLAN}' AND allocation_type = 'workload'
    """

    [(core_hour,)] = ask(deployment, query)

    # 102.8208 a month, of which CPU is 4 × 0.031611 of 4 × 0.031611 + 16 × 0.004237; 31 days of 96 core-hours.
    assert core_hour == pytest.approx(102.8208 * 0.126444 / 0.194236 / (31 * 96), rel=1e-9)


def test_running_again_changes_no_file(month: tuple[Deployment, Recorded]) -> None:
    deployment, _ = month
    sums = "SELECT round(sum(total_cost), 9), sum(billed_cost), count(*) FROM {asset_costs}"
    before = ask(deployment, sums)

    again = deployment("reconciled_assets/aws/111122223333", "asset_costs", days=("2026-10-05", "2026-10-09"))

    assert again.success
    assert ask(deployment, sums) == before


def test_the_largest_movers_are_told_and_drawn(month: tuple[Deployment, Recorded]) -> None:
    deployment, recorded = month
    moved = """
        SELECT namespace, controller, sum(cpu_cost_adjustment + gpu_cost_adjustment + ram_cost_adjustment
            + pv_cost_adjustment + network_cost_adjustment + load_balancer_cost_adjustment) AS adjustment
        FROM {reconciled_allocations} WHERE allocation_type <> 'external' GROUP BY ALL
        ORDER BY round(abs(adjustment), 6) DESC, namespace, controller LIMIT 10
    """

    [told] = [one for (name, _), one in recorded.materialized.items() if "largest_movers" in one]
    movers = [record.data for record in told["largest_movers"].records]

    expected = ask(deployment, moved)
    assert len(movers) == 10
    assert [abs(one["adjustment"]) for one in movers] == pytest.approx([abs(row[2]) for row in expected], abs=1e-6)
    assert all(one["estimate"] + one["adjustment"] == pytest.approx(one["total_cost"], abs=2e-6) for one in movers)
    assert {(one["namespace"], one["controller"]) for one in movers} == {
        (namespace, controller or "") for namespace, controller, _ in expected
    }
    assert told["from_estimate_to_total"].startswith("![The ten largest movers, from estimate to total](data:image/png")


def test_the_largest_movers_are_explained_by_assets_that_add_up_to_them(month: tuple[Deployment, Recorded]) -> None:
    deployment, recorded = month
    query = """
        SELECT namespace, coalesce(controller, ''), sum(total_cost), sum(total_cost - cpu_cost - gpu_cost - ram_cost
            - pv_cost - network_cost - load_balancer_cost - shared_cost)
        FROM {reconciled_allocations} WHERE date = '2026-10-31' AND allocation_type <> 'external' GROUP BY ALL
    """
    [told] = [one for one in recorded.materialized.values() if "largest_movers_explained" in one]
    explained: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in told["largest_movers_explained"].records:
        explained.setdefault((record.data["namespace"], record.data["controller"]), []).append(record.data)

    movers = {(record.data["namespace"], record.data["controller"]) for record in told["largest_movers"].records}
    costs = {(namespace, controller): costs for namespace, controller, *costs in ask(deployment, query)}

    assert set(explained) == movers
    for mover, assets in explained.items():
        sums = [sum(one[name] for one in assets) for name in ("total_cost", "adjustment")]
        assert sums == pytest.approx(costs[mover], abs=1e-4), mover  # shown with six digits each
    nodes = [one for assets in explained.values() for one in assets if one["resource"] == "cpu"]
    assert {one["match_rule"] for one in nodes if one["cost_basis"] == "billed"} == {"provider_id"}
    assert all(0 < one["share"] <= 1 for one in nodes)
    assert all(one["bill_rows"] > 0 and one["bill"] == f"aws/{ACCOUNT}" for one in nodes if one["match_rule"])


def test_the_share_of_a_day_that_no_bill_tells_is_told(month: tuple[Deployment, Recorded]) -> None:
    deployment, recorded = month
    query = """
        SELECT sum(total_cost) FILTER (NOT is_reconciled) / sum(total_cost)
        FROM {reconciled_allocations} WHERE date = '2026-10-31' AND allocation_type <> 'external'
    """

    told = recorded.materialized["reconciled_allocations/prod-eks-1", "2026-10-31"]["share_not_billed"]

    [(share,)] = ask(deployment, query)
    assert told == pytest.approx(share, abs=1e-6)
    assert 0.1 < told < 0.5  # one node of six is reserved, and billed nothing
