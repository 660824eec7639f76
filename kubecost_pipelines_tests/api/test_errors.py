"""Every error that a route can answer, over HTTP: its status, and a message with what is wrong and what is accepted.

What a Dagster answers is in `test_operation_paths.py`, and with a Dagster at work in `operations/test_backfills.py`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from kubecost_pipelines_tests.api.served import WINDOW, Server, serve, write_allocations

READ, OPERATE = "PLANTED-read-token-0001", "PLANTED-operate-token-02"
REBUILD, REPAIR = "/model/etl/asset/cloud/rebuild", "/model/etl/asset/cloud/repair"
NO_DAGSTER = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = tmp_path_factory.mktemp("refused") / "lake"
    lake.mkdir()
    write_allocations(lake, "one", [{"namespace": "web", "cpu_cost": 1.0}])
    return lake


@pytest.fixture(scope="module")
def server(lake: Path) -> Iterator[Server]:
    with serve(lake, tokens={"read": READ, "operate": OPERATE}, dagster_url=NO_DAGSTER, has_dashboard=True) as running:
        yield running


def refused(answer: requests.Response) -> tuple[int, str]:
    """Return status and message of an answer that is an error and nothing else."""
    body = answer.json()
    assert set(body) == {"code", "message"}
    assert body["code"] == answer.status_code
    return answer.status_code, body["message"]


def ask(server: Server, path: str, token: str = OPERATE, **parameters: Any) -> requests.Response:
    return server.get(path, {"Authorization": f"Bearer {token}"}, **parameters)


@pytest.mark.parametrize(
    ("path", "parameters", "wrong", "accepted"),
    [
        ("/model/allocation", {"window": "7x"}, "illegal window: 7x", "today, yesterday"),
        ("/model/allocation", {}, "missing window", "window"),
        ("/model/allocation", {"window": WINDOW, "aggregate": "colour"}, "'colour'", "cluster, node"),
        ("/model/allocation", {"window": WINDOW, "accumulate": "decade"}, "'decade'", "month"),
        ("/model/allocation", {"window": WINDOW, "idle": "perhaps"}, "idle", "boolean"),
        ("/model/allocation", {"window": WINDOW, "format": "xml"}, "format", "'json', 'csv'"),
        ("/model/allocation", {"window": WINDOW, "filter": 'colour:"red"'}, "expected a field", "namespace"),
        ("/model/allocation", {"window": WINDOW, "shareSplit": "odd"}, "shareSplit", "'weighted' or 'even'"),
        ("/model/allocation", {"window": WINDOW, "shareLabels": "team"}, "shareLabels", "`key:value`"),
        ("/allocation", {"window": WINDOW, "step": "soon"}, "step: illegal 'soon'", "1h, 6h, 1d"),
        ("/model/allocation", {"window": WINDOW, "costMetric": "guessed"}, "costMetric", "'cumulative'"),
        ("/model/assets", {"window": WINDOW, "aggregate": "colour"}, "'colour'", "providerid"),
        ("/model/cloudCost", {"window": WINDOW, "aggregate": "colour"}, "'colour'", "accountID"),
        ("/model/cloudCost/view/table", {"window": WINDOW, "costMetric": "guessed"}, "'guessed'", "amortizedNetCost"),
        (REBUILD, {}, "'commit=true'", "confirm Cloud Cost rebuild"),
        ("/dashboard/query", {"view": "colour"}, "view=colour", "address from the dashboard"),
    ],
)
def test_400_says_what_cannot_be_understood_and_what_could(
    server: Server, path: str, parameters: dict[str, str], wrong: str, accepted: str
) -> None:
    code, message = refused(ask(server, path, **parameters))

    assert code == 400
    assert wrong in message
    assert accepted in message


@pytest.mark.parametrize("path", ["/model/allocation", "/metrics", "/", "/dashboard/context", "/nowhere", REBUILD])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer guess"}, {"Authorization": "Basic guess"}])
def test_401_says_how_a_token_is_sent(server: Server, path: str, headers: dict[str, str]) -> None:
    answer = server.get(path, headers, window=WINDOW)

    code, message = refused(answer)
    assert code == 401
    assert "`Authorization: Bearer <token>`" in message
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")


def test_403_says_which_role_is_needed_and_where_it_comes_from(server: Server) -> None:
    code, message = refused(ask(server, REBUILD, READ, commit="true"))

    assert code == 403
    assert "role `operate` (KUBECOST_PIPELINES_OPERATE_TOKEN)" in message


@pytest.mark.parametrize(
    ("path", "parameters", "told"),
    [
        ("/model/nowhere", {}, "no route /model/nowhere; see /openapi.json"),
        ("/ui/assets/index-of-before.js", {}, "load the page again"),
        ("/dashboard/explain", {"cluster": "two", "date": "2026-10-05"}, "two"),
    ],
)
def test_404_says_what_there_is_none_of(server: Server, path: str, parameters: dict[str, str], told: str) -> None:
    code, message = refused(ask(server, path, **parameters))

    assert code == 404
    assert told in message


def test_405_says_which_methods_there_are(server: Server) -> None:
    own = {"Authorization": f"Bearer {OPERATE}"}

    answer = requests.delete(f"{server.url}/model/allocation", headers=own, timeout=30)

    code, message = refused(answer)
    assert code == 405
    assert "DELETE" in message
    assert "GET" in message
    assert answer.headers["Allow"] == "GET"


def test_413_and_414_say_how_much_is_read(server: Server) -> None:
    own = {"Authorization": f"Bearer {OPERATE}"}
    body = requests.post(f"{server.url}{REBUILD}", "x" * 70_000, headers=own, timeout=30)
    query = ask(server, "/model/allocation", window=WINDOW, filter="x" * 40_000)

    assert refused(body) == (413, "no route reads a body: send parameters in the query.")
    assert refused(query) == (414, "the query is longer than 32,768 bytes: shorten the filter.")


def test_429_says_how_many_there_may_be_and_when_to_ask_again(lake: Path) -> None:
    with serve(lake, tokens={"operate": OPERATE}, dagster_url=NO_DAGSTER) as server:
        answers = [ask(server, REPAIR, window="3d") for _ in range(31)]

    code, message = refused(answers[-1])
    # 30 a minute: one every two seconds.
    assert [answer.status_code for answer in answers[:30]] == [503] * 30
    assert (code, message) == (429, "more than 30 a minute: wait 2 s, and ask again.")
    assert answers[-1].headers["Retry-After"] == "2"


def test_503_says_what_does_not_answer_and_what_to_do(server: Server) -> None:
    code, message = refused(ask(server, REBUILD, commit="true"))

    assert code == 503
    assert f"no Dagster answers at {NO_DAGSTER} " in message
    assert "make dev" in message


def test_503_says_that_there_is_no_store_yet(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    with serve(tmp_path / "lake") as server:
        (server.serving.folder / "current").unlink()
        answers = [server.get(path, window=WINDOW) for path in ("/model/allocation", "/model/assets", "/healthz")]

    for answer in answers:
        code, message = refused(answer)
        assert code == 503
        assert "the serving store is not built yet" in message
        assert answer.headers["Retry-After"] == "5"
