"""External cost: what is tagged for a workload goes where that ran, to the last decimal. Figures are worked by hand."""

import json
from decimal import Decimal
from typing import Any

import ibis
import ibis.expr.types as ir
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
    tags: dict[str, str],
    cost: str = "10.00",
    mapping: LabelMapping | None = None,
    resource_id: str = "db-1",
    workloads: list[dict[str, Any]] = WORKLOADS,
) -> list[dict[str, Any]]:
    """Return what one charge with these tags becomes, by cluster."""
    charge = {
        "effective_cost": Decimal(cost),
        "billed_cost": Decimal(cost),
        "tags": json.dumps(tags),
        "resource_id": resource_id,
    }
    found = matched({"aws/111122223333": bill_table([charge])}, mapping or LabelMapping(), workloads)
    return sorted(found, key=lambda row: row["cluster"] or "")


def matched(
    bills: dict[str, ir.Table], mapping: LabelMapping, workloads: list[dict[str, Any]] = WORKLOADS
) -> list[dict[str, Any]]:
    labelled = labelled_costs(bills, mapping, "effective").to_pyarrow()
    names = names_of(allocation_table(workloads), list(mapping.labels))
    return rows(match_external(ibis.memtable(labelled), names, list(mapping.labels), ["east", "west-1"]))


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


@pytest.mark.parametrize("kind", ["deployment", "daemonset", "statefulset"])
def test_a_controller_is_named_by_its_kind_or_by_its_name_alone(kind: str) -> None:
    ran = [{"cluster": "west", "namespace": "data", "controller": "etl", "controller_kind": kind, "total_cost": 2.0}]
    [by_kind] = external({f"kubernetes_{kind}": "etl"}, workloads=ran)
    [by_name] = external({"kubernetes_controller": "etl"}, workloads=ran)

    assert (by_kind["cluster"], by_kind["controller"], by_kind["controller_kind"]) == ("west", "etl", kind)
    assert (by_name["cluster"], by_name["controller"], by_name["controller_kind"]) == ("west", "etl", None)


def test_a_container_is_named_by_its_own_label() -> None:
    ran = [{"cluster": "east", "namespace": "shop", "pod": "web-1", "container": "nginx", "total_cost": 1.0}]

    [found] = external({"kubernetes_container": "nginx"}, workloads=ran)

    assert (found["cluster"], found["container"], found["is_matched"]) == ("east", "nginx", True)


def test_charges_of_three_clouds_are_external_cost_of_one_workload() -> None:
    def charge(cost: str) -> dict[str, Any]:
        tags = json.dumps({"kubernetes_pod": "web-2"})
        return {"effective_cost": Decimal(cost), "billed_cost": Decimal(cost), "tags": tags, "resource_id": "db"}

    bills = {
        "aws/111122223333": bill_table([charge("1.00")]),
        "gcp/acme-gke": bill_table([charge("2.00")]),
        "azure/38f1d748": bill_table([charge("4.00")]),
    }

    found = matched(bills, LabelMapping())

    assert {one["provider_key"]: one["effective_cost"] for one in found} == {
        "aws/111122223333": Decimal(1),
        "gcp/acme-gke": Decimal(2),
        "azure/38f1d748": Decimal(4),
    }
    assert {(one["cluster"], one["pod"], one["is_matched"]) for one in found} == {("west", "web-2", True)}


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
