"""Cloud cost questions over HTTP, against what a hand computes.

The AWS bill of the 5th: EC2 for Kubernetes 6 (list 10) and for others 2 (list 4), a database 2; of the 6th: the same
database 3. Google's bill of the 5th: storage 4.
"""

import csv
import io
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from kubecost_pipelines_tests.api.served import DAY, WINDOW, Server, serve, write_bill

BOTH = "2026-10-05T00:00:00Z,2026-10-07T00:00:00Z"
ROUTES = ("/cloudCost", "/model/cloudCost", "/model/cloudCost/aggregate", "/cloudCost/top")


def line(service: str, resource: str, cost: float, **values: Any) -> dict[str, Any]:
    of = {
        "service_name": service,
        "resource_id": resource,
        "cost": str(cost),
        "list_cost": str(values.pop("list", cost)),
    }
    return {"date": DAY, "region_id": "eu-west-1", "invoiced_cost": "0", **of, **values}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    lake = tmp_path_factory.mktemp("bills") / "lake"
    lake.mkdir()
    aws = [
        line("AmazonEC2", "i-1", 6.0, list=10, category="Compute", is_kubernetes=True, cluster="one"),
        line("AmazonEC2", "i-2", 2.0, list=4, category="Compute", tags='{"team": "core"}'),
        line("AmazonRDS", "db-1", 2.0, category="Storage", tags='{"team": "shop"}', region_id="eu-north-1"),
        line("AmazonRDS", "db-1", 3.0, category="Storage", tags='{"team": "shop"}', date=date(2026, 10, 6)),
    ]
    gcp = [line("Cloud Storage", "bucket", 4.0, category="Storage", sub_account_id="my-project")]
    write_bill(lake, ["aws", "111122223333"], aws)
    write_bill(lake, ["gcp", "my-project"], gcp)
    with serve(lake) as running:
        yield running


def costs(server: Server, metric: str = "amortizedNetCost", **parameters: Any) -> dict[str, float]:
    found = server.data("/model/cloudCost", **{"window": WINDOW, "accumulate": "true", **parameters})
    [only] = found["sets"]
    return {name: item[metric]["cost"] for name, item in (only["cloudCosts"] or {}).items()}


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        ("service", {"AmazonEC2": 8.0, "AmazonRDS": 2.0, "Cloud Storage": 4.0}),
        ("provider", {"AWS": 10.0, "GCP": 4.0}),
        ("accountID", {"111122223333": 10.0, "my-project": 4.0}),
        ("category", {"Compute": 8.0, "Storage": 6.0}),
        ("label:team", {"core": 2.0, "shop": 2.0, "__unallocated__": 10.0}),
        ("regionID", {"eu-west-1": 12.0, "eu-north-1": 2.0}),
        ("provider,service", {"AWS/AmazonEC2": 8.0, "AWS/AmazonRDS": 2.0, "GCP/Cloud Storage": 4.0}),
    ],
)
def test_charges_add_up_in_any_grouping(server: Server, aggregate: str, expected: dict[str, float]) -> None:
    assert costs(server, aggregate=aggregate) == pytest.approx(expected)


def test_each_metric_is_a_cost_of_its_own_with_its_kubernetes_share(server: Server) -> None:
    [only] = server.data("/model/cloudCost", window=WINDOW, aggregate="service", accumulate="true")["sets"]

    ec2 = only["cloudCosts"]["AmazonEC2"]
    assert ec2["listCost"] == {"cost": 14.0, "kubernetesPercent": pytest.approx(10 / 14)}
    assert ec2["amortizedNetCost"] == {"cost": 8.0, "kubernetesPercent": 0.75}
    assert ec2["invoicedCost"] == {"cost": 0.0, "kubernetesPercent": 0.0}


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"filter": 'service:"AmazonEC2"'}, 8.0),
        ({"filter": 'provider:"aws"+category!:"Compute"'}, 2.0),
        ({"filter": 'label[team]:"core"'}, 2.0),
        ({"filter": '(providerID:"i-1"|service~:"Storage")'}, 10.0),
        ({"filterServices": "AmazonEC2,AmazonRDS"}, 10.0),
        ({"filterProviders": "GCP"}, 4.0),
        ({"filterLabels": "team:shop"}, 2.0),
        ({"filterInvoiceEntityIDs": "nobody"}, 0.0),
    ],
)
def test_both_filter_languages(server: Server, parameters: dict[str, str], expected: float) -> None:
    assert sum(costs(server, aggregate="service", **parameters).values()) == pytest.approx(expected)


@pytest.mark.parametrize("route", ROUTES)
def test_days_are_sets_and_become_one_on_every_route(server: Server, route: str) -> None:
    daily = server.data(route, window=BOTH, aggregate="service")["sets"]
    [whole] = server.data(route, window=BOTH, aggregate="service", accumulate="true")["sets"]

    assert [one["cloudCosts"]["AmazonRDS"]["amortizedNetCost"]["cost"] for one in daily] == [2.0, 3.0]
    assert [one["window"]["start"] for one in daily] == ["2026-10-05T00:00:00Z", "2026-10-06T00:00:00Z"]
    assert whole["cloudCosts"]["AmazonRDS"]["amortizedNetCost"]["cost"] == 5.0
    assert whole["aggregationProperties"] == ["service"]


def test_the_graph_has_a_value_per_day_and_name(server: Server) -> None:
    graph = server.data("/model/cloudCost/view/graph", window=BOTH, aggregate="service")

    drawn = [{item["name"]: item["value"] for item in one["items"]} for one in graph]
    assert drawn == [{"AmazonEC2": 8.0, "Cloud Storage": 4.0, "AmazonRDS": 2.0}, {"AmazonRDS": 3.0}]
    assert graph[1]["start"] == "2026-10-06T00:00:00Z"


def test_the_totals_count_names_and_weigh_the_kubernetes_share(server: Server) -> None:
    totals = server.data("/model/cloudCost/view/totals", window=BOTH, aggregate="service")
    by_list = server.data("/model/cloudCost/view/totals", window=BOTH, aggregate="service", costMetric="listCost")

    # 6 of 17; by list price 10 of 14 + 5 + 4.
    expected = {"name": "Totals", "labels": {}, "kubernetesPercent": pytest.approx(6 / 17), "cost": 17.0}
    assert totals == {"numResults": 3, "combined": expected}
    assert (by_list["combined"]["cost"], by_list["combined"]["kubernetesPercent"]) == (23.0, pytest.approx(10 / 23))


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ({}, ["AmazonEC2", "AmazonRDS", "Cloud Storage"]),
        ({"sortBy": "cost", "sortDirection": "asc"}, ["Cloud Storage", "AmazonRDS", "AmazonEC2"]),
        ({"sortBy": "name", "sortDirection": "asc"}, ["AmazonEC2", "AmazonRDS", "Cloud Storage"]),
        ({"sortBy": "kubernetesPercent", "limit": 1}, ["AmazonEC2"]),
        ({"offset": 1, "limit": 1}, ["AmazonRDS"]),
    ],
)
def test_the_table_is_in_the_order_that_is_asked_for(server: Server, order: dict[str, Any], names: list[str]) -> None:
    table = server.data("/model/cloudCost/view/table", window=BOTH, aggregate="service", **order)

    assert [row["name"] for row in table] == names


def test_csv_has_what_the_answer_has(server: Server) -> None:
    table = server.get("/model/cloudCost/view/table", window=BOTH, aggregate="service", format="csv")
    whole = server.get("/model/cloudCost", window=BOTH, aggregate="service", format="csv")

    expected = {"AmazonEC2": 8.0, "AmazonRDS": 5.0, "Cloud Storage": 4.0}
    for answer, column in ((table, "cost"), (whole, "amortizedNetCost.cost")):
        rows = csv.DictReader(io.StringIO(answer.text))
        assert {row["name"]: float(row[column]) for row in rows} == expected


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"aggregate": "colour"}, "accepted are invoiceEntityID"),
        ({"costMetric": "guessed"}, "accepted are listCost"),
        ({"sortBy": "colour"}, "sortBy"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(server: Server, parameters: dict[str, str], told: str) -> None:
    answer = server.get("/model/cloudCost/view/table", window=WINDOW, **parameters)

    assert answer.status_code == 400
    assert told in answer.json()["message"]
