"""What must not matter does not: the order of rows, how a pod is cut into rows, a second run; and a bill twice as high
costs twice as much."""

from collections import defaultdict
from datetime import date
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kubecost_pipelines_tests.core.random_clusters import Row, random_days
from kubecost_pipelines_tests.core.reconciling import reconcile_days

Day = tuple[date, list[Row], list[Row]]
AMOUNTS = (
    *("cpu_core_hours", "ram_byte_hours", "gpu_hours", "cpu_cost", "ram_cost", "gpu_cost", "network_cost", "minutes"),
    *("network_transfer_bytes", "network_receive_bytes"),
)


def costs(found: list[Row]) -> dict[Any, float]:
    sums: dict[Any, float] = defaultdict(float)
    for row in found:
        sums[row["date"], row["allocation_type"], row["name"].removesuffix("-half")] += row["total_cost"]
    return {key: cost for key, cost in sums.items() if abs(cost) > 1e-9}


def close(one: dict[Any, float], other: dict[Any, float], factor: float = 1.0) -> bool:
    return one.keys() == other.keys() and all(abs(other[k] - factor * one[k]) < 1e-8 * factor for k in one)


@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.randoms(use_true_random=False))
def test_the_order_of_rows_and_a_second_run_change_nothing(seed: int, order: Any) -> None:
    days = random_days(seed, 15)
    shuffled = [
        (day, order.sample(assets, len(assets)), order.sample(found, len(found))) for day, assets, found in days
    ]

    first, again = costs(reconcile_days(days)), costs(reconcile_days(shuffled))

    assert close(first, again)


@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_pod_cut_in_two_costs_what_it_did(seed: int) -> None:
    days = [(day, assets, [_measured(one) for one in found]) for day, assets, found in random_days(seed, 15)]
    cut = [(day, assets, [half for one in found for half in _cut(one)]) for day, assets, found in days]

    assert close(costs(reconcile_days(days)), costs(reconcile_days(cut)))


@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.floats(0.1, 10))
def test_a_bill_so_many_times_as_high_costs_so_many_times_as_much(seed: int, factor: float) -> None:
    days = random_days(seed, 15)
    scaled = [
        (day, [{**asset, "total_cost": factor * asset["total_cost"]} for asset in assets], found)
        for day, assets, found in days
    ]

    assert close(costs(reconcile_days(days)), costs(reconcile_days(scaled)), factor)


def _measured(one: Row) -> Row:
    """Return the pod with time and use measured: what is not is shared by rows, which a cut does change."""
    entries = {
        "pvs": [{**entry, "byte_hours": entry["byte_hours"] or 1.0} for entry in one["pvs"]],
        "load_balancers": [{**entry, "hours": entry["hours"] or 1.0} for entry in one["load_balancers"]],
    }
    return {**one, "minutes": one["minutes"] or 60.0, **entries}


def _cut(one: Row) -> list[Row]:
    parts = {name: one[name] / 2 for name in AMOUNTS}
    for entries, amount in (("pvs", "byte_hours"), ("load_balancers", "hours")):
        parts[entries] = [{**entry, amount: entry[amount] / 2, "cost": entry["cost"] / 2} for entry in one[entries]]
    return [{**one, **parts}, {**one, **parts, "name": f"{one['name']}-half"}]
