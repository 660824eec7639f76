"""Every path that Kubecost's documents and users' scripts have for an operation, typed by hand, with GET and POST.

Dagster is asked nothing: its webserver says which assets there are, and takes what is to run.
"""

from collections.abc import Iterator
from datetime import date, timedelta

import pytest
import requests

from kubecost_pipelines.api import guard
from kubecost_pipelines.operations.pipelines import Graph, Node, Plan
from kubecost_pipelines.operations.webserver import Backfill, Webserver
from kubecost_pipelines_tests.api.served import Server, serve

ACCOUNTS = ("111122223333", "444455556666")
CLUSTERS = ("prod-eks-1", "lab")
GRAPH = Graph(
    [
        *(
            Node((table, "aws", account), {"provider": "aws", "provider_key": account})
            for table in ("cloud_billing", "cloud_assets", "reconciled_assets")
            for account in ACCOUNTS
        ),
        *(Node(("allocations", name), {"cluster": name}) for name in CLUSTERS),
        Node(("asset_costs",), {}),
    ],
    # The server's clock stands at noon of 24 November.
    [date(2026, 11, 1) + timedelta(days=step) for step in range(23)],
)
WHOLE, WEEK, THREE_DAYS = ("2026-11-01", "2026-11-23"), ("2026-11-18", "2026-11-23"), ("2026-11-22", "2026-11-23")

REBUILDS = {
    "/model/etl/asset/cloud/rebuild": "cloud-assets",
    "/model/etl/cloudUsage/rebuild": "cloud-assets",
    "/model/cloudCost/rebuild": "cloud-assets",
    "/cloudCost/rebuild": "cloud-assets",
    "/model/etl/asset/reconciliation/rerun": "reconciliation",
    "/model/etl/asset/reconciliation/run": "reconciliation",
    "/model/etl/asset/cloud/reconciliation/rerun": "reconciliation",
    "/model/etl/asset/cloud/reconciliation/run": "reconciliation",
    "/model/etl/allocation/rebuild": "allocations",
}
REPAIRS = {
    "/model/etl/asset/cloud/repair": "cloud-assets",
    "/model/etl/cloudUsage/repair": "cloud-assets",
    "/model/cloudCost/repair": "cloud-assets",
    "/cloudCost/repair": "cloud-assets",
    "/model/etl/asset/reconciliation/repair": "reconciliation",
    "/model/etl/asset/cloud/reconciliation/repair": "reconciliation",
    "/model/etl/allocation/repair": "allocations",
}
TITLES = {"cloud-assets": "Cloud Cost", "reconciliation": "Reconciliation", "allocations": "Allocation"}


@pytest.fixture(scope="module")
def launched() -> list[Plan]:
    return []


@pytest.fixture(scope="module")
def server(launched: list[Plan], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    lake = tmp_path_factory.mktemp("operated") / "lake"
    lake.mkdir()

    def launch(_webserver: Webserver, plan: Plan) -> str:
        launched.append(plan)
        return "abcdefgh"

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(guard, "OPERATIONS_PER_MINUTE", 1_000)
        patched.setattr(Webserver, "graph", lambda _webserver: GRAPH)
        patched.setattr(Webserver, "active", lambda _webserver: [])
        patched.setattr(Webserver, "launch", launch)
        with serve(lake, dagster_url="http://dagster:3000") as running:
            yield running


def ask(server: Server, launched: list[Plan], method: str, path: str, **given: str) -> tuple[requests.Response, Plan]:
    """Return the answer and the one plan that it launched."""
    launched.clear()
    answer = requests.request(method, f"{server.url}{path}", params=given, timeout=30)
    [plan] = launched
    return answer, plan


def span(plan: Plan) -> tuple[str, str]:
    return str(plan.days[0]), str(plan.days[-1])


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("path", "pipeline"), [*REBUILDS.items(), *REPAIRS.items()])
def test_a_path_starts_its_operation_for_all_or_for_whom_it_names(
    server: Server, launched: list[Plan], method: str, path: str, pipeline: str
) -> None:
    verb = "rebuild" if path in REBUILDS else "repair"
    commit = {"commit": "true"} if verb == "rebuild" else {}
    one, target = ("prod-eks-1",) * 2 if pipeline == "allocations" else ("111122223333", "aws/111122223333")

    answer, of_all = ask(server, launched, method, path, **commit)
    _, of_one = ask(server, launched, method, path, provider=one, **commit)
    _, of_same = ask(server, launched, method, path, integrationKey=target, **commit)

    assert answer.json()["backfill"]["link"] == "http://dagster:3000/runs/b/abcdefgh"
    assert answer.json()["data"].startswith(TITLES[pipeline] if verb == "repair" else f"Rebuilding {TITLES[pipeline]}")
    assert [(plan.verb, plan.pipeline) for plan in (of_all, of_one, of_same)] == [(verb, pipeline)] * 3
    assert [plan.target for plan in (of_all, of_one, of_same)] == ["", target, target]
    assert span(of_all) == (WHOLE if verb == "rebuild" else THREE_DAYS)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("path", "pipeline"), REBUILDS.items())
def test_a_rebuild_without_commit_starts_nothing(
    server: Server, launched: list[Plan], method: str, path: str, pipeline: str
) -> None:
    launched.clear()

    for given in ({}, {"commit": "false"}, {"provider": "111122223333"}):
        answer = requests.request(method, f"{server.url}{path}", params=given, timeout=30)

        assert answer.status_code == 400
        assert answer.json()["message"] == f"Pass parameter 'commit=true' to confirm {TITLES[pipeline]} rebuild"
    assert launched == []


@pytest.mark.parametrize("path", REPAIRS)
def test_a_repair_takes_its_window(server: Server, launched: list[Plan], path: str) -> None:
    _, week = ask(server, launched, "GET", path, window="7d")
    _, yesterday = ask(server, launched, "GET", path, window="yesterday")

    assert (span(week), span(yesterday)) == (WEEK, ("2026-11-23", "2026-11-23"))


@pytest.mark.parametrize(
    ("path", "given", "code", "told"),
    [
        (
            "/model/cloudCost/repair",
            {"window": "3d", "provider": "aws/999"},
            404,
            "no such bill or cluster. There are: aws/111122223333, aws/444455556666.",
        ),
        ("/model/etl/allocation/repair", {"provider": "nowhere"}, 404, "There are: lab, prod-eks-1."),
        ("/model/cloudCost/repair", {"window": "7x"}, 400, "illegal window: 7x"),
        ("/model/cloudCost/repair", {"window": "today"}, 400, "A day can be repaired when it has ended"),
        (
            "/model/cloudCost/repair",
            {"window": "3d"},
            409,
            "backfill at-work of cloud-assets is at work on these days: http://dagster:3000/runs/b/at-work. Wait",
        ),
    ],
)
def test_an_operation_that_is_refused_says_why_and_starts_nothing(
    server: Server,
    launched: list[Plan],
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    given: dict[str, str],
    code: int,
    told: str,
) -> None:
    at_work = Backfill(
        "at-work", "REQUESTED", {"kubecost_pipelines/process": "cloud-assets"}, frozenset({GRAPH.nodes[0].key})
    )
    monkeypatch.setattr(Webserver, "active", lambda _webserver: [at_work])
    launched.clear()

    answer = requests.post(f"{server.url}{path}", params=given, timeout=30)

    assert (answer.status_code, answer.json()["code"], set(answer.json())) == (code, code, {"code", "message"})
    assert told in answer.json()["message"]
    assert launched == []
