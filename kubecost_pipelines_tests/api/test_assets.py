"""Asset questions over HTTP, against what a hand computes.

On the 5th the node of `one` is estimated at 8 and billed 6, its disk at 1 and billed 1.5; its fee is 2.4, the node of
`two`, not settled, 4. A database of 2.5 is claimed by no cluster. On the 6th the node of `one` costs 5 and 5.
"""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest

from kubecost_pipelines.core.tables import ASSET_COSTS
from kubecost_pipelines_tests.api.served import DAY, WINDOW, Server, serve, write_bill, write_days

BOTH = "2026-10-05T00:00:00Z,2026-10-07T00:00:00Z"
TOTAL = 6.0 + 1.5 + 2.4 + 4.0 + 2.5


def asset(cluster: str, type_: str, name: str, cost: float, adjustment: float = 0.0, **values: Any) -> dict[str, Any]:
    day = values.get("date", DAY)
    plain = {
        "date": day,
        "category": {"Disk": "Storage", "ClusterManagement": "Management"}.get(type_, "Compute"),
        "asset_id": f"{cluster}/{type_}/{name}",
        "provider": "AWS",
        "provider_id": name,
        "account": "111122223333",
        "start": datetime(day.year, day.month, day.day, tzinfo=UTC),
        "end": datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=UTC),
        "minutes": 1440.0,
        "is_reconciled": True,
        "is_settled": True,
        "currency": "USD",
        "match_rule": "provider_id",
        "labels": {},
    }
    own = {"cluster": cluster, "asset_type": type_, "name": name, "cost": cost, "adjustment": adjustment}
    return {**plain, **own, "total_cost": cost + adjustment, **values}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    lake = tmp_path_factory.mktemp("assets") / "lake"
    lake.mkdir()
    node: dict[str, Any] = {"cpu_cost": 6.0, "ram_cost": 4.0, "gpu_cost": 0.0, "discount": 0.2, "cpu_core_hours": 96.0}
    unsettled: dict[str, Any] = {"is_reconciled": False, "is_settled": False, "match_rule": None}
    rows = [
        asset("one", "Node", "i-1", 8.0, -2.0, node_type="m5.large", labels={"team": "shop"}, **node),
        asset("one", "Disk", "vol-1", 1.0, 0.5, byte_hours=240.0, storage_class="gp3", claim_namespace="web"),
        asset("one", "ClusterManagement", "fee", 2.4),
        asset("two", "Node", "i-2", 4.0, account="444455556666", cpu_cost=4.0, ram_cost=0.0, **unsettled),
        asset("one", "Node", "i-1", 5.0, date=date(2026, 10, 6), cpu_cost=5.0, ram_cost=0.0),
    ]
    write_days(lake, ASSET_COSTS, [], rows)
    bill = {"service_name": "AmazonRDS", "resource_id": "db-1", "effective_cost": "2.5", "tags": '{"team": "core"}'}
    write_bill(lake, ["aws", "111122223333"], [bill])
    with serve(lake) as running:
        yield running


def costs(server: Server, **parameters: Any) -> dict[str, float]:
    [found] = server.data("/model/assets", **{"window": WINDOW, "accumulate": "true", **parameters})
    return {name: item["totalCost"] for name, item in found.items()}


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        ("type", {"Node": 10.0, "Disk": 1.5, "ClusterManagement": 2.4, "Cloud": 2.5}),
        ("cluster", {"one": 9.9, "two": 4.0, "__undefined__": 2.5}),
        ("account", {"111122223333": 12.4, "444455556666": 4.0}),
        ("cluster,type", {"one/Node": 6.0, "one/Disk": 1.5, "one/ClusterManagement": 2.4, "two/Node": 4.0}),
        ("service", {"Kubernetes": 13.9, "AmazonRDS": 2.5}),
        ("category", {"Compute": 10.0, "Storage": 1.5, "Management": 2.4, "Other": 2.5}),
    ],
)
def test_assets_add_up_in_any_grouping(server: Server, aggregate: str, expected: dict[str, float]) -> None:
    found = costs(server, aggregate=aggregate)

    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert sum(found.values()) == pytest.approx(TOTAL, abs=1e-6)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"filter": 'assetType:"node"'}, 10.0),
        ({"filter": 'assetType!:"Cloud"+cluster:"one"'}, 9.9),
        ({"filter": '(cluster:"two"|type:"Disk")'}, 5.5),
        ({"filter": 'label[team]:"shop"'}, 6.0),
        ({"filter": 'label[team]:"core"'}, 2.5),
        ({"filter": 'providerID<~:"i-"'}, 10.0),
        ({"filterTypes": "Node,Disk", "filterClusters": "one"}, 7.5),
        ({"filterLabels": "team:shop"}, 6.0),
        ({"filterAccounts": "4444*"}, 4.0),
    ],
)
def test_both_filter_languages(server: Server, parameters: dict[str, str], expected: float) -> None:
    assert sum(costs(server, **parameters).values()) == pytest.approx(expected)


def test_without_adjustments_there_are_estimates(server: Server) -> None:
    estimated = costs(server, aggregate="type", disableAdjustments="true")

    assert estimated == pytest.approx({"Node": 12.0, "Disk": 1.0, "ClusterManagement": 2.4, "Cloud": 2.5})


def test_days_are_sets_and_become_one(server: Server) -> None:
    days = server.data("/model/assets", window=BOTH, aggregate="type")
    [whole] = server.data("/model/assets", window=BOTH, aggregate="type", accumulate="true")
    as_map = server.data("/assets", window=BOTH, aggregate="type")

    assert [one["Node"]["totalCost"] for one in days] == [10.0, 5.0]
    assert whole["Node"]["totalCost"] == 15.0
    assert as_map == whole


def test_an_asset_has_the_fields_of_its_type(server: Server) -> None:
    [found] = server.data("/model/assets", window=WINDOW, accumulate="true")

    of_type = {item["type"]: item for item in found.values() if item["properties"].get("cluster") != "two"}
    node, disk, cloud = of_type["Node"], of_type["Disk"], of_type["Cloud"]
    # A fifth off CPU and RAM; 96 core-hours on a day of a second less than 24 hours.
    assert (node["nodeType"], node["discount"], node["adjustment"]) == ("m5.large", pytest.approx(0.2), -2.0)
    assert (node["cpuCores"], node["cpuCoreHours"]) == (pytest.approx(4.0, abs=1e-4), 96.0)
    assert (disk["storageClass"], disk["claimNamespace"], disk["byteHours"]) == ("gp3", "web", 240.0)
    assert "adjustment" not in of_type["ClusterManagement"]
    assert (cloud["properties"]["service"], cloud["labels"]) == ("AmazonRDS", {"team": "core"})
    assert [node["reconciled"], node["settled"], node["matchRule"]] == [True, True, "provider_id"]
    [unsettled] = [item for item in found.values() if item["properties"].get("cluster") == "two"]
    assert [unsettled["reconciled"], unsettled["settled"], unsettled["matchRule"]] == [False, False, None]


def test_the_dearest_come_first_and_can_be_cut(server: Server) -> None:
    assert list(costs(server, aggregate="type", limit=2)) == ["Node", "Cloud"]
    assert list(costs(server, aggregate="type", offset=2, limit=1)) == ["ClusterManagement"]


def test_the_topline_is_the_sum(server: Server) -> None:
    whole = server.data("/model/assets/topline", window=WINDOW)

    assert whole == {"totalCost": pytest.approx(TOTAL), "adjustment": pytest.approx(-1.5), "numResults": 5}


def test_csv_has_what_the_answer_has(server: Server) -> None:
    answer = server.get("/model/assets", window=BOTH, aggregate="type", format="csv")

    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.headers["content-type"].startswith("text/csv")
    assert {row["name"]: float(row["totalCost"]) for row in rows} == pytest.approx(
        {"Node": 15.0, "Disk": 1.5, "ClusterManagement": 2.4, "Cloud": 2.5}
    )


def test_an_unknown_property_is_refused_with_the_known_ones(server: Server) -> None:
    answer = server.get("/model/assets", window=WINDOW, aggregate="colour")

    assert answer.status_code == 400
    assert "accepted are account, cluster" in answer.json()["message"]
