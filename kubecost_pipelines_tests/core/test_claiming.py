"""Which asset a bill row belongs to: exactly one, or none."""

from datetime import date
from decimal import Decimal
from typing import Any

import ibis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubecost_pipelines.core.claiming import claim, number_rows, share_scale_sets
from kubecost_pipelines_tests.core.tables import DAY, asset_table, bill_table, rows

Charge = dict[str, Any]


def claims(assets: list[dict[str, Any]], charges: list[dict[str, Any]]) -> list[tuple[Any, Any, Any]]:
    """Return (resource_id of the charge, asset that claims it, rule) for every charge."""
    claimed = claim(bill_table(charges), asset_table(assets))
    return sorted((row["resource_id"], row["asset_id"], row["match_rule"]) for row in rows(claimed))


def test_worker_1_never_takes_the_cost_of_worker_10() -> None:
    assets: list[Charge] = [
        {"asset_id": "one", "provider_id": "worker-1"},
        {"asset_id": "ten", "provider_id": "worker-10"},
    ]
    charges: list[Charge] = [
        {"resource_id": id_, "provider_id": id_} for id_ in ("worker-1", "worker-10", "worker-100", "orker-1")
    ]

    assert claims(assets, charges) == [
        ("orker-1", None, None),
        ("worker-1", "one", "provider_id"),
        ("worker-10", "ten", "provider_id"),
        ("worker-100", None, None),
    ]


def test_case_does_not_distinguish_two_ids() -> None:
    assets: list[Charge] = [{"asset_id": "node", "provider_id": "/subscriptions/a/resourceGroups/mc_rg"}]
    charges: list[Charge] = [{"resource_id": "x", "provider_id": "/subscriptions/A/resourceGroups/MC_rg"}]

    assert claims(assets, charges) == [("x", "node", "provider_id")]


def test_assets_and_charges_without_an_id_never_meet() -> None:
    assets: list[Charge] = [{"asset_id": "empty", "provider_id": ""}, {"asset_id": "null", "provider_id": None}]
    charges: list[Charge] = [{"resource_id": "a", "provider_id": ""}, {"resource_id": "b", "provider_id": None}]

    assert claims(assets, charges) == [("a", None, None), ("b", None, None)]


def test_another_category_of_the_same_id_is_not_the_node() -> None:
    assets: list[Charge] = [{"asset_id": "node", "provider_id": "i-1"}]
    charges: list[Charge] = [
        {"resource_id": "compute", "provider_id": "i-1"},
        {"resource_id": "guard", "provider_id": "i-1", "category": "Other"},
    ]

    assert claims(assets, charges) == [("compute", "node", "provider_id"), ("guard", None, None)]


def test_a_nodes_traffic_reveals_a_network_asset() -> None:
    traffic = {"resource_id": "t", "provider_id": "i-1", "category": "Network"}

    claimed = claim(bill_table([traffic]), asset_table([{"asset_id": "node", "provider_id": "i-1"}]))

    [row] = rows(claimed)
    assert (row["asset_id"], row["match_rule"], row["reveals"]) == ("node", "node_network", "Network")


def test_another_days_asset_claims_nothing() -> None:
    assets: list[Charge] = [{"asset_id": "node", "provider_id": "i-1", "date": date(2026, 10, 6)}]

    assert claims(assets, [{"resource_id": "c", "provider_id": "i-1"}]) == [("c", None, None)]


def test_a_load_balancer_without_a_matching_id_is_found_by_its_service_tag_and_cluster() -> None:
    balancer = {"asset_type": "LoadBalancer", "category": "Network", "provider_id": "k8s"}
    assets = [
        balancer | {"asset_id": "prod", "cluster": "prod-eks-1", "name": "web/shop"},
        balancer | {"asset_id": "staging", "cluster": "staging", "name": "web/shop"},
    ]
    charge = {"category": "Network", "provider_id": "c9f8", "kubernetes_service": "web/shop"}
    charges: list[Charge] = [
        charge | {"resource_id": "of prod", "cluster": "prod_eks_1"},
        charge | {"resource_id": "of a stranger", "cluster": "other"},
        charge | {"resource_id": "of nobody", "cluster": None},
    ]

    assert claims(assets, charges) == [
        ("of a stranger", None, None),
        ("of nobody", None, None),
        ("of prod", "prod", "service_tag"),
    ]


def test_a_management_fee_is_found_by_account_and_cluster_name() -> None:
    fee = {"asset_type": "ClusterManagement", "category": "Management", "asset_id": "fee", "cluster": "prod-eks-1"}
    charge = {"category": "Management", "provider_id": "arn", "cluster": "prod-eks-1"}
    charges: list[Charge] = [charge | {"resource_id": "a"}, charge | {"resource_id": "b", "sub_account_id": "999"}]

    assert claims([fee], charges) == [("a", "fee", "cluster_name"), ("b", None, None)]


def test_a_csi_disk_is_found_by_the_name_of_its_volume() -> None:
    disk = {"asset_type": "Disk", "category": "Storage", "asset_id": "disk", "volume_name": "pvc-1"}
    tagged = {"resource_id": "t", "provider_id": "vol-9", "category": "Storage"}
    charges: list[Charge] = [
        tagged | {"persistent_volume": "pvc-1"},
        tagged | {"resource_id": "n", "provider_id": "pvc-1"},
        tagged | {"resource_id": "o", "provider_id": "pvc-10"},
    ]

    assert claims([disk], charges) == [
        ("n", "disk", "persistent_volume"),
        ("o", None, None),
        ("t", "disk", "persistent_volume"),
    ]


def test_of_two_assets_with_one_id_the_costlier_claims_it() -> None:
    assets: list[Charge] = [
        {"asset_id": "cheap", "provider_id": "i-1", "cost": 1.0},
        {"asset_id": "dear", "provider_id": "i-1", "cost": 2.0},
    ]

    assert claims(assets, [{"resource_id": "c", "provider_id": "i-1"}]) == [("c", "dear", "provider_id")]


ids = st.sampled_from(["", "i-1", "i-10", "I-1", "vol-1", None])
categories = st.sampled_from(["Compute", "Storage", "Network", "Management", "Other"])
asset_types = st.sampled_from(["Node", "Disk", "LoadBalancer", "ClusterManagement"])


@settings(max_examples=30, deadline=None)
@given(
    assets=st.lists(st.tuples(asset_types, ids, categories), max_size=6),
    charges=st.lists(st.tuples(ids, categories), min_size=1, max_size=8),
)
def test_every_charge_stands_in_the_result_once_whatever_the_assets(
    assets: list[tuple[str, str | None, str]], charges: list[tuple[str | None, str]]
) -> None:
    inventory = [
        {"asset_id": f"a{n}", "asset_type": kind, "provider_id": id_, "category": category}
        for n, (kind, id_, category) in enumerate(assets)
    ]
    bill = [
        {"resource_id": f"r{n}", "provider_id": id_, "category": category} for n, (id_, category) in enumerate(charges)
    ]

    claimed = rows(claim(bill_table(bill), asset_table(inventory)))

    assert sorted(row["resource_id"] for row in claimed) == sorted(str(row["resource_id"]) for row in bill)
    assert all((row["date"], row["asset_id"] is None) == (DAY, row["match_rule"] is None) for row in claimed)


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_the_assets_changes_nothing(order: int) -> None:
    assets: list[Charge] = [{"asset_id": name, "provider_id": "i-1", "cost": 1.0} for name in ("a", "b", "c")]

    assert claims(assets[::order], [{"resource_id": "c", "provider_id": "i-1"}]) == [("c", "a", "provider_id")]


SCALE_SET = "/subscriptions/s/resourcegroups/g/providers/microsoft.compute/virtualmachinescalesets/aks-1-vmss"


def shares(*charges: Charge) -> list[tuple[Any, ...]]:
    disk = SCALE_SET.rpartition("/virtualm")[0] + "/disks/aks-1-vmss00000{}_osdisk"
    assets: list[Charge] = [
        {"asset_id": "n0", "provider_id": f"{SCALE_SET}/virtualmachines/0", "cost": 1.0},
        {"asset_id": "n1", "provider_id": f"{SCALE_SET}/virtualmachines/1", "cost": 2.0},
        {"asset_id": "other", "provider_id": f"{SCALE_SET}0/virtualmachines/1", "cost": 9.0},
        *(
            {"asset_id": f"d{n}", "asset_type": "Disk", "category": "Storage", "provider_id": disk.format(n)}
            for n in "01"
        ),
    ]
    table = asset_table(assets)
    claims = ibis.memtable(number_rows(claim(bill_table(list(charges)), table)).to_pyarrow())
    found = share_scale_sets(claims, table)
    assert found.bill_rows.sum().to_pyarrow().as_py() == len(charges)
    return sorted((row["asset_id"] or "", row["reveals"], row["match_rule"], row["billed_cost"]) for row in rows(found))


def test_traffic_of_a_scale_set_is_split_by_its_machines_cost_and_adds_up() -> None:
    found = shares({"provider_id": "AKS-1-vmss", "category": "Network", "billed_cost": Decimal(10)})

    assert [(asset, reveals, rule) for asset, reveals, rule, _ in found] == [
        ("n0", "Network", "scale_set"), ("n1", "Network", "scale_set"),
    ]  # fmt: skip
    assert [round(cost, 6) for *_, cost in found] == [Decimal("3.333333"), Decimal("6.666667")]
    assert sum(cost for *_, cost in found) == 10


def test_disks_of_a_scale_set_go_to_its_machines_disks() -> None:
    found = shares({"provider_id": "aks-1-vmss", "category": "Storage", "billed_cost": Decimal(3)})

    assert found == [("d0", None, "scale_set", Decimal("1.5")), ("d1", None, "scale_set", Decimal("1.5"))]


def test_an_unknown_scale_set_stays_on_the_bill() -> None:
    found = shares({"provider_id": "aks-2-vmss", "category": "Network", "billed_cost": Decimal(3)})

    assert found == [("", None, None, 3)]
