"""Workloads at their real price: every expected figure is worked out by hand."""

from typing import Any

import pytest

from kubecost_pipelines.core.workload_costs import price_assets, reconcile_allocations
from kubecost_pipelines_tests.core.tables import DAY, allocation_table, cost_table, rows

GIB = 2.0**30
NODE = {
    "name": "worker-1",
    "provider_id": "i-1",
    "cpu_core_hours": 96.0,
    "ram_byte_hours": 384 * GIB,
    "gpu_hours": 0.0,
    "cpu_cost": 3.0,
    "ram_cost": 1.5,
    "gpu_cost": 0.0,
    "discount": 0.0,
    "cost": 4.5,
}
"""4 cores and 16 GiB for a day, 4.50 by the price list."""


def reconciled(assets: list[dict[str, Any]], allocations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    workloads = allocation_table(allocations)
    table = reconcile_allocations(workloads, price_assets(cost_table(assets), workloads), [DAY])
    found = rows(table)
    total = sum(row["total_cost"] for row in found)
    assert total == pytest.approx(sum(asset.get("total_cost", asset["cost"]) for asset in assets), abs=1e-9)
    for row in found:
        costs = [value for name, value in row.items() if name.endswith(("_cost", "_adjustment")) and "_c" in name]
        parts = sum(
            row[f"{name}_cost"] + row[f"{name}_cost_adjustment"]
            for name in ("cpu", "gpu", "ram", "network", "load_balancer", "pv")
        )
        assert row["total_cost"] == pytest.approx(parts + row["shared_cost"] + row["external_cost"], abs=1e-9)
        assert costs
    return found


def of_type(found: list[dict[str, Any]], allocation_type: str) -> list[dict[str, Any]]:
    return [row for row in found if row["allocation_type"] == allocation_type]


def pod(name: str, cores: float = 1.0, gib: float = 4.0, **more: Any) -> dict[str, Any]:
    """Return a pod of a whole day on worker-1; its estimate is the list price of what it asked for."""
    return {
        "namespace": "web",
        "pod": name,
        "container": "main",
        "node": "worker-1",
        "provider_id": "i-1",
        "cpu_core_hours": 24 * cores,
        "ram_byte_hours": 24 * gib * GIB,
        "cpu_cost": 24 * cores * 3.0 / 96,
        "ram_cost": 24 * gib * 1.5 / 384,
        **more,
    }


def test_a_reserved_node_makes_its_workloads_and_its_idle_cheaper() -> None:
    # Billed at 3.00, two thirds of the list price: CPU 2.00, RAM 1.00. A quarter of both is asked for.
    found = reconciled([{**NODE, "total_cost": 3.0}], [pod("api")])

    [api], [idle] = of_type(found, "workload"), of_type(found, "idle")
    assert (api["cpu_cost"], api["ram_cost"]) == (0.75, 0.375)
    assert api["cpu_cost_adjustment"] == pytest.approx(-0.25)
    assert api["ram_cost_adjustment"] == pytest.approx(-0.125)
    assert api["total_cost"] == pytest.approx(0.75)
    assert idle["name"] == "prod/worker-1/__idle__"
    assert idle["total_cost"] == pytest.approx(2.25)
    assert idle["cpu_cost"] == pytest.approx(2.25)
    assert idle["cpu_core_hours"] == pytest.approx(72)
