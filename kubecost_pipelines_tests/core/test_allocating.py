"""Workloads at their real price: every expected figure is worked out by hand.

Each test is a cluster on a day of its own; all of them are reconciled in one go, as a month is.
"""

from datetime import date, timedelta
from typing import Any

import pytest

from kubecost_pipelines_tests.core.reconciling import Row, reconcile_days

GIB = 2.0**30
NODE: Row = {
    "asset_type": "Node",
    "name": "worker-1",
    "provider_id": "i-1",
    "asset_id": "node-1",
    "cpu_core_hours": 96.0,
    "ram_byte_hours": 384 * GIB,
    "gpu_hours": 0.0,
    "cpu_cost": 3.0,
    "ram_cost": 1.5,
    "gpu_cost": 0.0,
    "discount": 0.0,
    "cost": 4.5,
}
"""4 cores and 16 GiB for a day: 3.00 and 1.50 by the price list."""

DISK: Row = {
    "asset_type": "Disk",
    "name": "pvc-1",
    "volume_name": "pvc-1",
    "claim_namespace": "web",
    "provider_id": "vol-1",
    "byte_hours": 2400 * GIB,
    "cost": 0.5,
}
BALANCER: Row = {"asset_type": "LoadBalancer", "name": "web/shop", "provider_id": "203.0.113.7", "cost": 0.6}
FEE: Row = {"asset_type": "ClusterManagement", "name": "", "cost": 2.4}

DAYS: list[tuple[date, list[Row], list[Row]]] = []


def on(assets: list[Row], allocations: list[Row]) -> pytest.MarkDecorator:
    """Give a test the rows of a day with these assets and allocations."""
    day = date(2026, 10, 1) + timedelta(days=len(DAYS))
    DAYS.append((day, [{"date": day, **one} for one in assets], [{"date": day, **one} for one in allocations]))
    return pytest.mark.parametrize("found", [day], indirect=True)


@pytest.fixture(scope="module")
def every_day() -> list[Row]:
    return reconcile_days(DAYS)


@pytest.fixture
def found(request: pytest.FixtureRequest, every_day: list[Row]) -> list[Row]:
    """Return the rows of the test's day, which add up to its assets."""
    rows = [row for row in every_day if row["date"] == request.param]
    [assets] = [assets for day, assets, _ in DAYS if day == request.param]
    total = sum(asset["total_cost"] if "total_cost" in asset else asset["cost"] for asset in assets)
    assert sum(row["total_cost"] for row in rows) == pytest.approx(total, abs=1e-12)
    return rows


def of_type(found: list[Row], allocation_type: str) -> list[Row]:
    rows = [row for row in found if row["allocation_type"] == allocation_type]
    return sorted(rows, key=lambda row: row["name"])


def pod(name: str, cores: float = 1.0, gib: float = 4.0, hours: float = 24.0, **more: Any) -> Row:
    """Return a pod on worker-1; its estimate is the list price of what it asked for."""
    return {
        "namespace": "web",
        "pod": name,
        "name": f"prod/{name}",
        "container": "main",
        "node": "worker-1",
        "provider_id": "i-1",
        "minutes": 60 * hours,
        "cpu_core_hours": hours * cores,
        "ram_byte_hours": hours * gib * GIB,
        "cpu_cost": hours * cores * 3.0 / 96,
        "ram_cost": hours * gib * 1.5 / 384,
        "cpu_efficiency": 0.5,
        "ram_efficiency": 0.8,
        **more,
    }


def mount(byte_hours: float, name: str = "pvc-1", provider_id: str | None = "vol-1") -> dict[str, Any]:
    return {"pvs": [{"name": name, "provider_id": provider_id, "byte_hours": byte_hours, "cost": 0.1}], "pv_cost": 0.1}


def use(service: str | None, hours: float, ip: str | None = None) -> dict[str, Any]:
    entry = {"name": "lb", "service": service, "ip": ip, "is_private": False, "hours": hours, "cost": 0.2}
    return {"load_balancers": [entry], "load_balancer_cost": 0.2}


@on([{**NODE, "total_cost": 3.0}], [pod("api")])
def test_a_reserved_node_makes_its_workloads_and_its_idle_cheaper(found: list[Row]) -> None:
    # Two thirds of the list price: CPU 2.00, RAM 1.00. The pod asked for a quarter of both.
    [api], [idle] = of_type(found, "workload"), of_type(found, "idle")

    assert (api["cpu_cost"], api["ram_cost"]) == (0.75, 0.375)
    assert (api["cpu_cost_adjustment"], api["ram_cost_adjustment"]) == pytest.approx((-0.25, -0.125))
    assert api["total_cost"] == pytest.approx(0.75)
    assert api["total_efficiency"] == pytest.approx(0.6)  # (0.5 × 0.50 + 0.8 × 0.25) ÷ 0.75
    assert (api["cost_basis"], api["is_reconciled"], api["is_settled"]) == ("billed", True, True)
    assert (idle["name"], idle["namespace"]) == ("prod/worker-1/__idle__", "__idle__")
    assert (idle["cpu_core_hours"], idle["cpu_cores"]) == pytest.approx((72, 3))
    assert (idle["cpu_cost"], idle["cpu_cost_adjustment"]) == pytest.approx((2.25, -0.75))
    assert idle["total_cost"] == pytest.approx(2.25)


@on([{**NODE, "total_cost": 9.0}], [pod("api"), {**pod("idle"), "name": "prod/worker-1/__idle__"}])
def test_a_spot_node_that_cost_twice_as_much_does_so_for_all_and_the_clusters_own_idle_is_dropped(
    found: list[Row],
) -> None:
    [api], [idle] = of_type(found, "workload"), of_type(found, "idle")

    assert api["total_cost"] == pytest.approx(2.25)
    assert idle["total_cost"] == pytest.approx(6.75)


@on([{**NODE, "discount": 0.2, "gpu_cost": 4.8, "gpu_hours": 24.0, "cost": 8.4, "total_cost": 6.3}], [
    pod("train", gpu_hours=6.0, gpu_cost=1.2), pod("web"),
])  # fmt: skip
def test_a_discount_is_for_cpu_and_ram_and_gpus_go_by_gpu_hours(found: list[Row]) -> None:
    # Listed 2.4 + 1.2 + 4.8 = 8.4; billed three quarters of it: CPU 1.8, RAM 0.9, GPU 3.6.
    [train, web], [idle] = of_type(found, "workload"), of_type(found, "idle")

    assert train["total_cost"] == pytest.approx(0.45 + 0.225 + 0.9)
    assert web["total_cost"] == pytest.approx(0.45 + 0.225)
    assert train["gpu_cost_adjustment"] == pytest.approx(-0.3)
    assert idle["gpu_cost"] + idle["gpu_cost_adjustment"] == pytest.approx(2.7)


@on(
    [{**NODE, "minutes": 720.0, "cpu_core_hours": 48.0, "ram_byte_hours": 192 * GIB, "cpu_cost": 1.5, "ram_cost": 0.75,
      "cost": 2.25, "total_cost": 1.5}],
    [pod("api", hours=12)],
)  # fmt: skip
def test_a_node_that_joined_at_noon_is_shared_by_the_hours_that_it_was_there(found: list[Row]) -> None:
    [api], [idle] = of_type(found, "workload"), of_type(found, "idle")

    assert api["total_cost"] == pytest.approx(0.375)  # a quarter of the node, for half a day
    assert idle["cpu_cores"] == pytest.approx(3)


@on(
    [{**NODE, "total_cost": 3.0}, {**NODE, "name": "worker-2", "provider_id": "i-2", "asset_id": "node-2"}],
    [pod("api", hours=6), pod("api", hours=18, node="worker-2", provider_id="i-2")],
)
def test_a_pod_that_moved_pays_on_each_node_for_its_time_there(found: list[Row]) -> None:
    rows = of_type(found, "workload")

    assert sorted(row["total_cost"] for row in rows) == pytest.approx([0.75 / 4, 1.125 * 3 / 4])


@on([{**NODE, "total_cost": 3.0}], [pod("a", cores=4, gib=4), pod("b", cores=2, gib=4)])
def test_the_workloads_of_an_over_committed_node_share_it_and_leave_nothing_idle(found: list[Row]) -> None:
    # 144 of 96 core-hours: CPU 2.00 by 96:48. RAM 1.00: half asked for, half idle.
    [a, b], [idle] = of_type(found, "workload"), of_type(found, "idle")

    assert a["cpu_cost"] + a["cpu_cost_adjustment"] == pytest.approx(4 / 3)
    assert b["cpu_cost"] + b["cpu_cost_adjustment"] == pytest.approx(2 / 3)
    assert idle["cpu_cost"] + idle["cpu_cost_adjustment"] == 0
    assert idle["total_cost"] == pytest.approx(0.5)


@on([{**NODE, "cost_basis": "list"}], [pod("api")])
def test_a_node_that_no_bill_names_keeps_its_list_price(found: list[Row]) -> None:
    [api], [idle] = of_type(found, "workload"), of_type(found, "idle")

    assert (api["total_cost"], api["cpu_cost_adjustment"], api["is_reconciled"]) == (1.125, 0.0, False)
    assert (api["cost_basis"], idle["cost_basis"]) == ("list", "list")


@on([{**NODE, "cost_basis": "recent", "is_settled": False, "total_cost": 3.0}], [pod("api")])
def test_a_node_of_a_day_that_is_not_settled_passes_its_recent_price_on_and_says_so(found: list[Row]) -> None:
    # 3.00 for 96 core-hours and 384 GiB-hours that were 4.50 by the price list: 1.125 × 3 / 4.5.
    [api], [idle] = of_type(found, "workload"), of_type(found, "idle")

    assert api["total_cost"] == pytest.approx(0.75)
    assert (api["cost_basis"], api["is_reconciled"]) == ("recent", False)
    assert (idle["cost_basis"], idle["is_reconciled"]) == ("recent", False)


@on([NODE, FEE], [])
def test_a_node_that_nothing_ran_on_is_idle_and_the_fee_is_shared(found: list[Row]) -> None:
    [idle], [fee] = of_type(found, "idle"), of_type(found, "shared")

    assert idle["total_cost"] == 4.5
    assert (fee["name"], fee["shared_cost"], fee["total_cost"]) == ("prod/__shared__/ClusterManagement", 2.4, 2.4)


@on([NODE], [pod("api"), pod("lost", node="worker-9", provider_id="i-9")])
def test_a_workload_whose_node_no_asset_names_has_nothing_that_it_could_cost(found: list[Row]) -> None:
    [_, lost] = of_type(found, "workload")

    assert (lost["cpu_cost"], lost["cpu_cost_adjustment"], lost["total_cost"]) == (0.75, -0.75, 0.0)
    assert (lost["is_reconciled"], lost["cost_basis"]) == (False, "list")


@on(
    [{**NODE, "total_cost": 3.0}, {**NODE, "provider_id": "i-2", "asset_id": "node-2", "total_cost": 9.0}],
    [pod("first"), pod("second", provider_id="i-2"), pod("third", provider_id=None)],
)
def test_nodes_are_found_by_provider_id_and_by_name_only_without_one(found: list[Row]) -> None:
    # A repaired node has its old name and a new id. Who only knows the name counts to the first by asset id.
    [first, second, third] = of_type(found, "workload")

    assert (first["total_cost"], second["total_cost"], third["total_cost"]) == pytest.approx((0.75, 2.25, 0.75))


@on([{**NODE, "cpu_cost": 0.0, "ram_cost": 0.0, "cost": 0.0, "total_cost": 3.0}], [pod("api")])
def test_a_node_without_a_list_price_is_priced_by_core_hours(found: list[Row]) -> None:
    [api], [idle] = of_type(found, "workload"), of_type(found, "idle")

    assert (api["total_cost"], idle["total_cost"]) == pytest.approx((0.75, 2.25))


@on([{**DISK, "total_cost": 0.4}], [pod("a", node=None, provider_id=None, **mount(1800 * GIB)),
                                    pod("b", node=None, provider_id=None, **mount(600 * GIB, "?"))])  # fmt: skip
def test_a_volume_claimed_by_two_pods_is_shared_by_byte_hours(found: list[Row]) -> None:
    [a, b] = of_type(found, "workload")

    assert (a["total_cost"], b["total_cost"]) == pytest.approx((0.3, 0.1))  # b's entry finds its disk by id
    assert (a["pv_cost"], a["pv_cost_adjustment"]) == pytest.approx((0.1, 0.2))
    assert a["pvs"][0]["adjustment"] == pytest.approx(0.2)
    assert not of_type(found, "unmounted")


@on([{**DISK, "total_cost": 0.4}], [pod("a", node=None, provider_id=None, **mount(1800 * GIB))])
def test_the_time_in_which_nothing_mounted_a_volume_is_a_row_of_its_claims_namespace(found: list[Row]) -> None:
    [a], [rest] = of_type(found, "workload"), of_type(found, "unmounted")

    assert (a["total_cost"], rest["total_cost"]) == pytest.approx((0.3, 0.1))
    assert (rest["name"], rest["namespace"], rest["pod"]) == ("prod/web/__unmounted__/pvc-1", "web", "__unmounted__")
    assert rest["pv_byte_hours"] == pytest.approx(600 * GIB)
    assert (rest["pv_cost"], rest["pv_cost_adjustment"]) == pytest.approx((0.4, -0.3))


@on([NODE, {**DISK, "name": "worker-1", "volume_name": None, "claim_namespace": None}], [pod("api")])
def test_a_nodes_own_disk_is_shared_and_never_unmounted(found: list[Row]) -> None:
    [disk] = of_type(found, "shared")

    assert (disk["name"], disk["node"], disk["shared_cost"]) == ("prod/__shared__/Disk/worker-1", "worker-1", 0.5)
    assert not of_type(found, "unmounted")


@on(
    [{**BALANCER, "total_cost": 0.9}],
    [
        pod("shop", node=None, provider_id=None, **use("web/shop", 24)),
        pod("blog", node=None, provider_id=None, **use("web/blog", 12, ip="203.0.113.7")),
    ],
)
def test_a_load_balancer_behind_two_services_is_shared_by_hours_of_use(found: list[Row]) -> None:
    [blog, shop] = of_type(found, "workload")

    assert (shop["total_cost"], blog["total_cost"]) == pytest.approx((0.6, 0.3))
    assert (blog["load_balancer_cost"], blog["load_balancer_cost_adjustment"]) == pytest.approx((0.2, 0.1))


@on([BALANCER], [])
def test_a_load_balancer_that_no_pod_stands_behind_is_unmounted_in_its_namespace(found: list[Row]) -> None:
    [row] = of_type(found, "unmounted")

    assert (row["namespace"], row["load_balancer_cost"], row["total_cost"]) == ("web", 0.6, 0.6)


TRAFFIC: Row = {
    "asset_type": "Network",
    "asset_id": "node-1/network",
    "name": "worker-1",
    "cost": 0.0,
    "total_cost": 0.8,
}


@on([NODE, TRAFFIC], [pod("a", network_cost=0.3, network_transfer_bytes=9.0), pod("b", network_cost=0.1)])
def test_traffic_goes_by_measured_cost(found: list[Row]) -> None:
    rows = of_type(found, "workload")

    assert [row["network_cost_adjustment"] for row in rows] == pytest.approx([0.3, 0.1])  # 0.6 and 0.2


@on(
    [NODE, TRAFFIC],
    [pod("a", network_transfer_bytes=5.0, network_receive_bytes=1.0), pod("b", network_receive_bytes=2.0)],
)
def test_traffic_goes_by_bytes_where_no_cost_was_measured(found: list[Row]) -> None:
    assert [row["network_cost_adjustment"] for row in of_type(found, "workload")] == pytest.approx([0.6, 0.2])


@on([NODE, TRAFFIC], [pod("a", hours=6), pod("b", hours=18)])
def test_traffic_goes_by_hours_where_nothing_was_measured(found: list[Row]) -> None:
    assert [row["network_cost_adjustment"] for row in of_type(found, "workload")] == pytest.approx([0.2, 0.6])


@on([NODE, TRAFFIC], [])
def test_traffic_of_a_node_that_nothing_ran_on_is_shared(found: list[Row]) -> None:
    [row] = of_type(found, "shared")

    assert (row["name"], row["node"], row["total_cost"]) == ("prod/__shared__/Network/worker-1", "worker-1", 0.8)


@on([], [pod("api")])
def test_allocations_without_any_asset_cost_nothing(found: list[Row]) -> None:
    [api] = found

    assert api["total_cost"] == 0.0
