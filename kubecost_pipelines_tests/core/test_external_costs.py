"""External cost: what is tagged for a workload goes where that ran, to the last decimal. Figures are worked by hand."""

import json
from decimal import Decimal
from typing import Any

import ibis
import pyarrow as pa
import pytest

from kubecost_pipelines.core.expectations import expect_external_currency
from kubecost_pipelines.core.external_costs import labelled_costs, match_external, names_of
from kubecost_pipelines.core.label_mapping import LabelMapping, key_forms
from kubecost_pipelines_tests.core.tables import allocation_table, bill_table, rows

WORKLOADS = [
    {"cluster": "east", "namespace": "shop", "pod": "web-1", "total_cost": 3.0},
    {"cluster": "west", "namespace": "shop", "pod": "web-2", "total_cost": 1.0, "services": ["front"]},
    {
        "cluster": "west",
        "namespace": "data",
        "controller": "etl",
        "controller_kind": "deployment",
        "total_cost": 2.0,
        "labels": {"team": "numbers"},
    },
]
"""What ran, and what it was estimated to cost."""


def external(
    tags: dict[str, str], cost: str = "10.00", mapping: LabelMapping | None = None, resource_id: str = "db-1"
) -> list[dict[str, Any]]:
    """Return what one charge with these tags becomes, by cluster."""
    charge = {
        "effective_cost": Decimal(cost),
        "billed_cost": Decimal(cost),
        "tags": json.dumps(tags),
        "resource_id": resource_id,
    }
    mapping = mapping or LabelMapping()
    labelled = labelled_costs({"aws/111122223333": bill_table([charge])}, mapping, "effective").to_pyarrow()
    names = names_of(allocation_table(WORKLOADS), list(mapping.labels))
    found = rows(match_external(ibis.memtable(labelled), names, list(mapping.labels), ["east", "west-1"]))
    return sorted(found, key=lambda row: row["cluster"] or "")


def test_a_charge_of_a_namespace_is_split_over_the_clusters_where_it_ran() -> None:
    east, west = external({"kubernetes_namespace": "shop"})

    assert [(one["cluster"], one["effective_cost"]) for one in (east, west)] == [
        ("east", Decimal("7.50")),  # 10.00 × 3.0 / 4.0
        ("west", Decimal("2.50")),
    ]
    assert east["is_matched"]
    assert (east["matched_label"], east["provider_key"]) == ("kubernetes_namespace", "aws/111122223333")


def test_the_shares_of_a_charge_are_the_charge_to_the_last_decimal() -> None:
    parts = external({"kubernetes_namespace": "shop"}, cost="0.000000000001")

    assert sum(one["billed_cost"] for one in parts) == Decimal("0.000000000001")


def test_a_cluster_that_the_charge_names_takes_all_of_it_however_the_tag_spells_it() -> None:
    [found] = external({"kubernetes_namespace": "shop", "kubernetes_cluster": "WEST"})

    assert (found["cluster"], found["effective_cost"], found["is_matched"]) == ("west", Decimal(10), True)


@pytest.mark.parametrize(
    ("tags", "what"),
    [
        ({"kubernetes_deployment": "etl"}, {"controller": "etl", "controller_kind": "deployment"}),
        ({"kubernetes_service": "front"}, {"service": "front"}),
        ({"kubernetes_pod": "web-2"}, {"pod": "web-2"}),
        ({"kubernetes_label_team": "numbers"}, {"labels": [("team", "numbers")]}),
    ],
)
def test_a_workload_is_named_by_its_controller_service_pod_or_label(tags: dict[str, str], what: dict[str, Any]) -> None:
    [found] = external(tags)

    assert (found["cluster"], found["is_matched"], found["effective_cost"]) == ("west", True, Decimal(10))
    assert {name: found[name] for name in what} == what


def test_a_daemonset_is_no_deployment_of_the_same_name() -> None:
    [found] = external({"kubernetes_daemonset": "etl"})

    assert not found["is_matched"]


def test_a_label_that_matches_nothing_is_listed_whole() -> None:
    [found] = external({"kubernetes_namespace": "long-gone"})

    assert (found["is_matched"], found["namespace"], found["effective_cost"]) == (False, "long-gone", Decimal(10))
    assert found["cluster"] is None


def test_a_charge_that_names_no_workload_is_not_external() -> None:
    assert external({"env": "prod"}) == []


def test_of_a_comma_list_the_first_key_that_the_charge_has_counts_in_any_form() -> None:
    mapping = LabelMapping(names={"namespace": "acme.io/ns, k8s-namespace"}, labels={})

    [found] = external({"k8s-namespace": "shop", "acme_io_ns": "data"}, mapping=mapping)

    assert (found["cluster"], found["namespace"]) == ("west", "data")
    assert key_forms("acme.io/Ns") == ("acme.io/Ns", "acme_io_Ns", "acme_io_ns")


def test_a_charge_that_names_a_cluster_in_another_spelling_and_nothing_that_ran_is_listed_at_that_cluster() -> None:
    [found] = external({"kubernetes_cluster": "West_1", "kubernetes_namespace": "long-gone"})

    assert (found["cluster"], found["is_matched"], found["effective_cost"]) == ("west-1", False, Decimal(10))


def test_what_fargate_bills_for_a_pod_is_the_pods_though_no_tag_says_so() -> None:
    arn = "arn:aws:eks:us-east-1:111122223333:pod/west/shop/web-2/0b1c2d3e"

    [found] = external({}, resource_id=arn)

    assert (found["cluster"], found["namespace"], found["pod"]) == ("west", "shop", "web-2")
    assert (found["is_matched"], found["effective_cost"], found["matched_label"]) == (True, Decimal(10), "resource_id")


def test_external_cost_in_another_currency_than_its_clusters_is_named() -> None:
    [matched] = external({"kubernetes_pod": "web-2"})
    table = pa.Table.from_pylist([{**matched, "billing_currency": one} for one in ("USD", "EUR")])

    found = rows(expect_external_currency({"west": "USD"}).offenders(ibis.memtable(table)))

    assert [(one["cluster"], one["billing_currency"], one["cost"]) for one in found] == [("west", "EUR", 10.0)]
