"""Idle and shared cost, given to others: every expected figure is worked out by hand."""

from typing import Any

import ibis.expr.types as ir
import pytest

from kubecost_pipelines.core.sharing import (
    IdleSharing,
    SharingPolicy,
    Split,
    in_namespaces,
    share,
    share_costs,
    share_idle,
    with_labels,
    zero_sum_gaps,
)
from kubecost_pipelines_tests.core.tables import reconciled_table, rows

COSTS = ("cpu", "ram", "gpu")


def row(kind: str, node: str | None, namespace: str, **values: Any) -> dict[str, Any]:
    return {"allocation_type": kind, "node": node, "namespace": namespace, **values}


CLUSTER = [
    row("workload", "n1", "web", cpu_cost=3.0, cpu_cost_adjustment=-1.0, ram_cost=1.0, cpu_core_hours=10.0),
    row("workload", "n1", "search", cpu_cost=2.0, ram_cost=1.0, cpu_core_hours=30.0, labels={"team": "platform"}),
    row("idle", "n1", "__idle__", cpu_cost=3.0, cpu_cost_adjustment=-1.0, ram_cost=1.0),
    row("workload", "n2", "web", cpu_cost=4.0, cpu_core_hours=10.0),
    row("idle", "n2", "__idle__", cpu_cost=1.0, gpu_cost=8.0),
    row("idle", "n3", "__idle__", cpu_cost=5.0),
    row("shared", None, "__shared__", shared_cost=2.4),
]
"""Totals: n1 web 3, search 3, idle 3; n2 web 4, idle 9; n3 idle 5; shared 2.4. Σ 29.4."""


def totals(table: ir.Table) -> dict[tuple[str, str | None, str], Any]:
    return {
        (one["allocation_type"], one["node"], one["namespace"]): pytest.approx(one["total_cost"]) for one in rows(table)
    }


def test_idle_goes_to_the_workloads_of_its_node_by_what_they_cost() -> None:
    shared = share_idle(reconciled_table(CLUSTER), "node")

    # n1: CPU idle 2 by 2:2, RAM idle 1 by 1:1. n2: all 9, the GPU's by all of what they cost. n3: nobody is there.
    assert totals(shared) == {
        ("workload", "n1", "web"): 4.5,
        ("workload", "n1", "search"): 4.5,
        ("workload", "n2", "web"): 13.0,
        ("idle", "n3", "__idle__"): 5.0,
        ("shared", None, "__shared__"): 2.4,
    }
    web = next(one for one in rows(shared) if one["node"] == "n1" and one["namespace"] == "web")
    assert (web["cpu_cost"], web["cpu_cost_adjustment"]) == (4.5, -1.5)


def test_idle_goes_to_the_workloads_of_its_cluster_by_what_they_cost() -> None:
    shared = share_idle(reconciled_table(CLUSTER), "cluster")

    # CPU idle 2 + 1 + 5 = 8 by 2:2:4; RAM idle 1 by 1:1:0; GPU idle 8 by totals of 3:3:4.
    assert totals(shared) == {
        ("workload", "n1", "web"): 3 + 2 + 0.5 + 2.4,
        ("workload", "n1", "search"): 3 + 2 + 0.5 + 2.4,
        ("workload", "n2", "web"): 4 + 4 + 3.2,
        ("shared", None, "__shared__"): 2.4,
    }


def test_idle_goes_to_namespaces_by_the_hours_that_they_asked_for() -> None:
    shared = share_idle(reconciled_table(CLUSTER), "namespace")

    # CPU idle 8 by 10:30:10 core-hours; RAM 1 and GPU 8, of which nobody tells hours, by totals of 3:3:4.
    assert totals(shared) == {
        ("workload", "n1", "web"): 3 + 1.6 + 2.7,
        ("workload", "n1", "search"): 3 + 4.8 + 2.7,
        ("workload", "n2", "web"): 4 + 1.6 + 3.6,
        ("shared", None, "__shared__"): 2.4,
    }


@pytest.mark.parametrize(("split", "parts"), [("weighted", (0.72, 0.72, 0.96)), ("even", (0.8, 0.8, 0.8))])
def test_tenancy_goes_to_the_workloads_weighted_or_evenly(split: Split, parts: tuple[float, ...]) -> None:
    policy = SharingPolicy(share_tenancy_costs=True, share_split=split)

    shared = share(reconciled_table(CLUSTER), policy)

    workloads = [one for one in rows(shared) if one["allocation_type"] == "workload"]
    found = {(one["node"], one["namespace"]): one["shared_cost"] for one in workloads}
    assert found == pytest.approx(dict(zip([("n1", "web"), ("n1", "search"), ("n2", "web")], parts, strict=True)))
    assert not [one for one in rows(shared) if one["allocation_type"] == "shared"]


def test_a_shared_namespace_and_a_shared_label_are_paid_for_by_the_others() -> None:
    table = reconciled_table(CLUSTER)

    by_namespace = share_costs(table, in_namespaces(["search"]))
    by_label = share_costs(table, with_labels(["team:platform"]))

    expected = {
        ("workload", "n1", "web"): 3 + 3 * 3 / 7,
        ("workload", "n2", "web"): 4 + 3 * 4 / 7,
        ("idle", "n1", "__idle__"): 3.0,
        ("idle", "n2", "__idle__"): 9.0,
        ("idle", "n3", "__idle__"): 5.0,
        ("shared", None, "__shared__"): 2.4,
    }
    assert totals(by_namespace) == expected == totals(by_label)


def test_a_flat_cost_adds_its_part_of_the_month() -> None:
    shared = share(reconciled_table(CLUSTER), SharingPolicy(share_cost=365.0))  # of 730 hours: 12 a day

    [gap] = rows(zero_sum_gaps(reconciled_table(CLUSTER), shared))
    assert gap["gap"] == pytest.approx(12.0)
    assert totals(shared)["workload", "n2", "web"] == 4 + 12 * 4 / 10


@pytest.mark.parametrize("by", ["keep", "node", "cluster", "namespace"])
@pytest.mark.parametrize("split", ["weighted", "even"])
def test_nothing_is_made_or_lost(by: IdleSharing, split: Split) -> None:
    policy = SharingPolicy(by, True, ("search",), ("team:platform",), 0.0, split)
    before = reconciled_table(CLUSTER)

    after = share(before, policy)

    assert rows(zero_sum_gaps(before, after)) == []
    assert sum(one["total_cost"] for one in rows(after)) == pytest.approx(29.4)


def test_a_cluster_in_which_nothing_ran_keeps_its_idle_and_its_fee() -> None:
    empty = [one for one in CLUSTER if one["allocation_type"] != "workload"]

    after = share(reconciled_table(empty), SharingPolicy("cluster", share_tenancy_costs=True, share_split="even"))

    assert totals(after) == totals(reconciled_table(empty))


def test_sums_over_namespaces_are_shared_as_their_rows_are() -> None:
    table = reconciled_table(CLUSTER)
    keys = ("date", "cluster", "namespace", "allocation_type")
    names = [name for name, type_ in table.schema().items() if type_.is_float64()]
    summed = table.group_by(keys).aggregate(**{name: table[name].sum() for name in names})

    after = share(summed, SharingPolicy("cluster", share_tenancy_costs=True))

    of_rows = share(table, SharingPolicy("cluster", share_tenancy_costs=True))
    of_rows = of_rows.group_by("namespace").aggregate(total_cost=of_rows.total_cost.sum())
    assert {one["namespace"]: pytest.approx(one["total_cost"]) for one in rows(after)} == {
        one["namespace"]: one["total_cost"] for one in rows(of_rows)
    }


def test_an_unknown_way_to_share_says_which_there_are() -> None:
    with pytest.raises(ValueError, match="keep, node, cluster, namespace"):
        share_idle(reconciled_table(CLUSTER), "pod")  # type: ignore[arg-type]
