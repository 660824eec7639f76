"""Allocation questions over HTTP, against what a hand computes.

The cluster `one` on a day: web costs CPU 6 − 1 and RAM 2, api CPU 2 and RAM 2, the node's idle CPU 3.5 and RAM 4, and a
management fee of 2.2. The cluster `two`: batch costs CPU 10, its idle CPU 10.
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from kubecost_pipelines_tests.api.served import DAY, WINDOW, Server, serve, write_allocations

TOTAL = 5 + 2 + 2 + 2 + 3.5 + 4 + 2.2 + 10 + 10


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = tmp_path_factory.mktemp("costs") / "lake"
    lake.mkdir()
    write_allocations(
        lake,
        "one",
        [
            {
                "node": "n1",
                "namespace": "web",
                "pod": "web-1",
                "container": "app",
                "controller": "web",
                "controller_kind": "deployment",
                "labels": {"team": "shop", "app": "web"},
                "services": ["front"],
                "cpu_cost": 6.0,
                "cpu_cost_adjustment": -1.0,
                "ram_cost": 2.0,
                "cpu_core_hours": 24.0,
                "cpu_core_request_average": 2.0,
                "cpu_core_usage_average": 1.0,
            },
            {
                "node": "n2",
                "namespace": "api",
                "pod": "api-1",
                "container": "app",
                "controller": "api",
                "controller_kind": "statefulset",
                "labels": {"team": "core"},
                "cpu_cost": 2.0,
                "ram_cost": 2.0,
                "is_reconciled": False,
            },
            {"allocation_type": "idle", "node": "n1", "namespace": "__idle__", "cpu_cost": 3.5, "ram_cost": 4.0},
            {"allocation_type": "shared", "namespace": "__shared__", "shared_cost": 2.2},
            {"allocation_type": "external", "namespace": "web", "external_cost": 7.0},
        ],
    )
    write_allocations(
        lake,
        "two",
        [
            {"node": "n9", "namespace": "batch", "pod": "b-1", "container": "b", "cpu_cost": 10.0},
            {"allocation_type": "idle", "node": "n9", "namespace": "__idle__", "cpu_cost": 10.0},
        ],
    )
    return lake


@pytest.fixture(scope="module")
def server(lake: Path) -> Iterator[Server]:
    with serve(lake) as running:
        yield running


def test_what_a_question_does_not_say_is_as_the_settings_have_it(lake: Path) -> None:
    with serve(lake, allocation={"share_idle": "namespace", "share_cost": 365.0, "share_split": "even"}) as server:
        as_settings = server.costs(aggregate="namespace")
        as_asked = server.costs(aggregate="namespace", shareIdle="false", shareCost="0")

    # CPU 3.5 by 24 hours : 0; RAM 4, of which nobody tells hours, by costs of 7 : 4; 12 a day in three even parts.
    assert as_settings == pytest.approx(
        {"web": 8.4 + 3.5 + 4 * 7 / 11 + 4, "api": 4.8 + 4 * 4 / 11 + 4, "batch": 20.0 + 4}
    )
    assert as_asked == pytest.approx({"__idle__": 17.5, "batch": 10.0, "web": 8.4, "api": 4.8})


def test_the_overhead_of_a_cluster_is_shared_by_cost_and_idle_has_an_item_of_its_own(server: Server) -> None:
    # The fee of 2.2 goes to web (7 of 11) and api (4 of 11): 1.4 and 0.8.
    assert server.costs(aggregate="namespace") == pytest.approx(
        {"__idle__": 17.5, "batch": 10.0, "web": 8.4, "api": 4.8}
    )


def test_idle_is_shared_by_resource_within_its_cluster(server: Server) -> None:
    # CPU 3.5 by 5 : 2, RAM 4 by 2 : 2.
    shared = server.allocations(aggregate="namespace", shareIdle="true")

    assert {name: item["totalCost"] for name, item in shared.items()} == pytest.approx(
        {"batch": 20.0, "web": 8.4 + 2.5 + 2.0, "api": 4.8 + 1.0 + 2.0}
    )
    assert shared["web"]["cpuCost"] + shared["web"]["cpuCostAdjustment"] == pytest.approx(7.5)


def test_idle_by_node_goes_to_who_runs_on_the_node(server: Server) -> None:
    costs = server.costs(aggregate="namespace", shareIdle="true", idleByNode="true")

    assert costs == pytest.approx({"batch": 20.0, "web": 8.4 + 7.5, "api": 4.8})


def test_idle_can_be_split_by_cluster_or_node_or_left_out(server: Server) -> None:
    by_cluster = server.costs(aggregate="cluster", splitIdle="true")
    by_node = server.costs(aggregate="node", splitIdle="true", idleByNode="true")

    assert by_cluster == pytest.approx({"one": 13.2, "two": 10.0, "one/__idle__": 7.5, "two/__idle__": 10.0})
    assert {name: cost for name, cost in by_node.items() if "idle" in name} == pytest.approx(
        {"one/n1/__idle__": 7.5, "two/n9/__idle__": 10.0}
    )
    assert "__idle__" not in server.costs(aggregate="cluster", idle="false")


def test_a_filter_takes_the_idle_cost_along_that_would_be_shared_with_what_it_keeps(server: Server) -> None:
    assert server.costs(aggregate="namespace", filter='namespace:"web"') == pytest.approx({"web": 8.4, "__idle__": 4.5})


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('namespace:"web","api"', {"web", "api"}),
        ('namespace!:"web","api"', {"batch"}),
        ('cluster:"one"+label[team]:"shop"', {"web"}),
        ('(cluster:"two"|label[team]:"core")', {"batch", "api"}),
        ('cluster:"one"+(label[team]:"core"|namespace<~:"w")', {"web", "api"}),
        ('label:"app"', {"web"}),
        ('label!:"team"', {"batch"}),
        ('services:"front"', {"web"}),
        ('controllerKind:"StatefulSet"', {"api"}),
        ('pod~>:"-1"+pod!~:"api"', {"web", "batch"}),
        ('team:"core"', {"api"}),
        ('label[team]:"__unallocated__"', {"batch"}),
    ],
)
def test_the_second_filter_language(server: Server, text: str, kept: set[str]) -> None:
    assert set(server.costs(aggregate="namespace", filter=text, idle="false")) == kept


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"filterNamespaces": "web,api"}, {"web", "api"}),
        ({"filterNamespaces": "w*"}, {"web"}),
        ({"filterClusters": "one", "filterControllerKinds": "deployment"}, {"web"}),
        ({"filterLabels": "team:core"}, {"api"}),
        ({"filterControllers": "statefulset:api"}, {"api"}),
        ({"filterServices": "front"}, {"web"}),
        ({"filterTeams": "shop"}, {"web"}),
        ({"filterNamespaces": "web", "filter": 'namespace:"api"'}, {"api"}),
    ],
)
def test_the_first_filter_language(server: Server, given: dict[str, str], kept: set[str]) -> None:
    assert set(server.costs(aggregate="namespace", idle="false", **given)) == kept


def test_a_monthly_cost_is_shared_by_the_hour(server: Server) -> None:
    # 365 a month of 730 hours is 12 a day, by 8.4 : 4.8 : 10.
    shared = server.allocations(aggregate="namespace", idle="false", shareCost="365")

    assert shared["web"]["sharedCost"] == pytest.approx(1.4 + 12 * 8.4 / 23.2)
    assert sum(item["totalCost"] for item in shared.values()) == pytest.approx(23.2 + 12)


def test_a_cost_can_be_shared_evenly(server: Server) -> None:
    even = server.costs(aggregate="namespace", idle="false", shareCost="365", shareSplit="even")

    assert even == pytest.approx({"web": 12.4, "api": 8.8, "batch": 14.0})


@pytest.mark.parametrize("what", [{"shareNamespaces": "api"}, {"shareLabels": "team:core"}])
def test_a_shared_namespace_or_label_goes_to_the_others(server: Server, what: dict[str, str]) -> None:
    # 4.8 by 8.4 : 10.
    costs = server.costs(aggregate="namespace", idle="false", **what)

    assert costs == pytest.approx({"web": 8.4 + 4.8 * 8.4 / 18.4, "batch": 10 + 4.8 * 10 / 18.4})


def test_overhead_can_be_seen_instead_of_shared(server: Server) -> None:
    costs = server.costs(aggregate="namespace", idle="false", shareTenancyCosts="false")

    assert costs == pytest.approx({"web": 7.0, "api": 4.0, "batch": 10.0, "__shared__": 2.2})


def test_external_cost_is_added_when_asked_for(server: Server) -> None:
    web = server.allocations(aggregate="namespace", external="true")["web"]

    assert (web["externalCost"], web["totalCost"]) == pytest.approx((7.0, 15.4))


@pytest.mark.parametrize("off", [{"reconcile": "false"}, {"disableAdjustments": "true"}])
def test_without_reconciliation_there_are_estimates(server: Server, off: dict[str, str]) -> None:
    # web is 8 of 12 without its adjustment: the fee of 2.2 goes 1.4667 : 0.7333.
    web = server.allocations(aggregate="namespace", **off)["web"]

    assert (web["cpuCostAdjustment"], web["totalCost"]) == pytest.approx((0.0, 8 + 2.2 * 8 / 12))
    assert not web["reconciled"]


def test_compute_is_never_reconciled(server: Server) -> None:
    [found] = server.data("/allocation/compute", window=WINDOW, aggregate="namespace")

    assert found["web"]["cpuCostAdjustment"] == 0.0
    assert not found["web"]["reconciled"]


def test_every_item_says_whether_it_is_reconciled(server: Server) -> None:
    found = server.allocations(aggregate="namespace")

    assert {name: item["reconciled"] for name, item in found.items()} == {
        "web": True,
        "api": False,
        "batch": True,
        "__idle__": True,
    }


@pytest.mark.parametrize(
    ("aggregate", "names"),
    [
        ("", {"one/n1/web/web-1/app", "one/n2/api/api-1/app", "two/n9/batch/b-1/b"}),
        ("cluster,namespace", {"one/web", "one/api", "two/batch"}),
        ("controller", {"deployment:web", "statefulset:api", "__unallocated__"}),
        ("deployment", {"web", "__unallocated__"}),
        ("label:team", {"team=shop", "team=core", "__unallocated__"}),
        ("label:app,namespace", {"app=web/web", "__unallocated__/api", "__unallocated__/batch"}),
        ("team", {"shop", "core", "__unallocated__"}),
        ("service", {"front", "__unallocated__"}),
        ("pod", {"web-1", "api-1", "b-1"}),
    ],
)
def test_any_grouping_adds_up_to_the_same_total(server: Server, aggregate: str, names: set[str]) -> None:
    for sharing in ({}, {"shareIdle": "true"}, {"shareIdle": "true", "idleByNode": "true"}):
        costs = server.costs(aggregate=aggregate, **sharing)

        assert set(costs) - {"__idle__"} == names
        assert sum(costs.values()) == pytest.approx(TOTAL, abs=1e-6)


def test_efficiency_is_used_of_requested_weighted_by_cost(server: Server) -> None:
    # CPU 1 of 2 cores at 5; RAM nothing asked for and nothing used at 2.
    web = server.allocations(aggregate="namespace")["web"]

    assert web["cpuEfficiency"] == pytest.approx(0.5)
    assert web["totalEfficiency"] == pytest.approx(0.5 * 5 / 7)
    assert web["cpuCoreHours"] == 24.0


def test_offset_and_limit_take_the_dearest_first(server: Server) -> None:
    assert list(server.costs(aggregate="namespace", limit=2)) == ["__idle__", "batch"]
    assert list(server.costs(aggregate="namespace", offset=2, limit=1)) == ["web"]


@pytest.mark.parametrize(("metric", "factor"), [("hourly", 1 / 24), ("daily", 1), ("monthly", 730 / 24)])
def test_a_cost_can_be_a_rate(server: Server, metric: str, factor: float) -> None:
    assert server.costs(aggregate="namespace", costMetric=metric)["batch"] == pytest.approx(10 * factor)


def test_csv_has_a_line_per_item_and_no_formula(server: Server) -> None:
    answer = server.get("/model/allocation", window=WINDOW, aggregate="namespace", format="csv")

    lines = answer.text.splitlines()
    assert answer.headers["content-type"].startswith("text/csv")
    assert lines[0].startswith("name,")
    assert len(lines) == 5


def test_days_are_gathered_into_weeks_from_sunday_months_and_one(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    days = [date(2026, 9, 25 + i) if i < 6 else date(2026, 10, i - 5) for i in range(20)]  # 25 September to 14 October
    write_allocations(lake, "one", [{"date": day, "namespace": "web", "cpu_cost": 1.0} for day in days])
    window = "2026-09-25T00:00:00Z,2026-10-15T00:00:00Z"

    with serve(lake) as server:

        def costs(**parameters: str) -> list[float]:
            sets = server.data("/model/allocation", window=window, aggregate="namespace", **parameters)
            return [one["web"]["totalCost"] for one in sets]

        # Sundays: 27 September, 4 and 11 October.
        assert costs(accumulate="week") == [2.0, 7.0, 7.0, 4.0]
        assert costs(accumulate="month") == [6.0, 14.0]
        assert costs(accumulate="quarter") == [6.0, 14.0]
        assert costs(accumulate="true") == [20.0]
        assert costs() == [1.0] * 20
        assert costs(step="7d") == [7.0, 7.0, 6.0]
        assert [sum(i["totalCost"] for i in one.values()) for one in server.data("/allocation", window=window)] == [
            20.0
        ]
        whole_month = "2026-08-15T00:00:00Z,2026-10-10T00:00:00Z"
        [one] = server.data("/model/allocation", window=whole_month, aggregate="namespace", accumulate="true")
        assert one["web"]["totalCost"] == 15.0


def test_a_day_that_the_lake_restates_is_answered_anew(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    write_allocations(lake, "one", [{"namespace": "web", "cpu_cost": 1.0}])
    write_allocations(lake, "two", [{"namespace": "web", "cpu_cost": 5.0}])
    with serve(lake) as server:
        before = server.costs(aggregate="cluster")
        write_allocations(lake, "one", [{"namespace": "web", "cpu_cost": 2.0}])
        server.serving.refresh()
        after = server.costs(aggregate="cluster")

    assert before == {"one": 1.0, "two": 5.0}
    assert after == {"one": 2.0, "two": 5.0}


def test_a_lake_that_has_not_changed_is_left_alone_while_questions_are_answered(server: Server) -> None:
    server.costs(aggregate="cluster")

    assert server.serving.refresh() is None


def test_a_day_without_anything_is_an_empty_set(server: Server) -> None:
    assert server.data("/model/allocation", window="2026-10-06T00:00:00Z,2026-10-08T00:00:00Z") == [{}, {}]
    assert date(2026, 10, 5) == DAY


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({}, "missing window"),
        ({"window": "7x"}, "illegal window"),
        ({"window": WINDOW, "aggregate": "colour"}, "accepted are cluster"),
        ({"window": WINDOW, "accumulate": "hour"}, "step: 1h"),
        ({"window": "9999-12-31T00:00:00Z,9999-12-31T12:00:00Z"}, "no day after it"),
        ({"window": WINDOW, "filter": "namespace:web"}, "quotation marks"),
        ({"window": WINDOW, "filter": 'namespace:"a"+pod:"b"|pod:"c"'}, "parentheses"),
        ({"window": WINDOW, "filter": 'colour:"red"'}, "expected a field"),
        ({"window": WINDOW, "filter": r'namespace:"web\"'}, "illegal filter at character 11"),
        ({"window": WINDOW, "filter": r'namespace:"web\\""'}, "illegal filter at character 18"),
        ({"window": WINDOW, "shareCost": "nan"}, "shareCost"),
        ({"window": WINDOW, "limit": "-1"}, "limit"),
        ({"window": "2026-10-05T00:00:00Z,2006-10-05T00:00:00Z"}, "illegal window"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_with_the_accepted_forms(
    server: Server, parameters: dict[str, str], told: str
) -> None:
    answer = server.get("/model/allocation", **parameters)

    assert answer.status_code == 400
    assert answer.json()["code"] == 400
    assert told in answer.json()["message"]
