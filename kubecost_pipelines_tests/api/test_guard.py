"""Who may ask what: tokens, roles, other sites, rates, and what is written down."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubecost_pipelines.api.guard import HEADERS, Rates, TokenError, is_loopback, read_tokens
from kubecost_pipelines_tests.api.served import WINDOW, Server, serve, write_allocations

READ, OPERATE = "PLANTED-read-token-0001", "PLANTED-operate-token-02"
REBUILD = "/model/etl/asset/cloud/rebuild"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = tmp_path_factory.mktemp("guarded") / "lake"
    lake.mkdir()
    write_allocations(lake, "one", [{"namespace": "web", "cpu_cost": 1.0}])
    return lake


@pytest.fixture(scope="module")
def guarded(lake: Path) -> Iterator[Server]:
    with serve(
        lake, tokens={"read": READ, "operate": OPERATE}, is_limited=True, dagster_url="http://127.0.0.1:9"
    ) as one:
        yield one


@pytest.fixture(scope="module")
def local(lake: Path) -> Iterator[Server]:
    with serve(lake, dagster_url="http://127.0.0.1:9") as one:
        yield one


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_without_a_token_nothing_is_told_but_that_the_server_lives(guarded: Server) -> None:
    refused = guarded.get("/model/allocation", window=WINDOW)

    assert refused.status_code == 401
    assert "Bearer" in refused.json()["message"]
    assert guarded.get("/metrics").status_code == 401
    assert guarded.get("/openapi.json").status_code == 401
    assert guarded.get("/healthz").status_code == 200


@pytest.mark.parametrize("token", [READ, OPERATE])
def test_a_token_reads_as_bearer_and_as_password(guarded: Server, token: str) -> None:
    import requests

    by_password = requests.get(f"{guarded.url}/model/allocation", {"window": WINDOW}, auth=("me", token), timeout=30)

    assert guarded.get("/model/allocation", bearer(token), window=WINDOW).status_code == 200
    assert by_password.status_code == 200


def test_an_unknown_token_is_refused_and_after_some_the_address_waits(lake: Path) -> None:
    with serve(lake, tokens={"read": READ}) as server:
        codes = [server.get("/metrics", bearer(f"guess-{number}")).status_code for number in range(30)]

    assert codes[:20] == [401] * 20
    assert set(codes[20:]) <= {401, 429}
    assert codes[-1] == 429


def test_a_reader_starts_nothing(guarded: Server) -> None:
    refused = guarded.get(REBUILD, bearer(READ), commit="true")

    assert refused.status_code == 403
    assert "operate" in refused.json()["message"]


def test_without_commit_nothing_is_rebuilt(local: Server) -> None:
    refused = local.get(REBUILD)

    assert refused.status_code == 400
    assert refused.json()["message"] == "Pass parameter 'commit=true' to confirm Cloud Cost rebuild"


def test_an_operation_that_dagster_cannot_take_is_503_with_the_cure(local: Server) -> None:
    refused = local.get(REBUILD, commit="true")

    assert refused.status_code == 503
    assert "no Dagster answers" in refused.json()["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example"},
        {"Referer": "https://evil.example/page"},
    ],
)
def test_a_page_of_another_site_starts_nothing_through_a_visitor(local: Server, headers: dict[str, str]) -> None:
    assert local.get(REBUILD, headers, commit="true").status_code == 403


def test_a_name_that_somebody_points_at_the_loopback_is_not_answered_to(local: Server) -> None:
    assert local.get("/healthz", {"Host": "evil.example"}).status_code == 403


def test_every_operation_is_written_down_with_who_what_and_result(
    guarded: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "kubecost_pipelines.audit"):
        guarded.get(REBUILD, {**bearer(OPERATE), "X-Request-Id": "request-7"}, commit="true")

    [line] = [json.loads(one.getMessage()) for one in caplog.records if one.name == "kubecost_pipelines.audit"]
    assert line["request"] == "request-7"
    assert line["operation"] == "rebuild cloud-assets"
    assert line["result"].startswith("503 no Dagster answers")
    assert line["caller"].startswith("operate:")


def test_answers_carry_the_request_and_the_security_headers(local: Server) -> None:
    for path in ("/healthz", "/nowhere", "/model/allocation"):
        answer = local.get(path, {"X-Request-Id": "a<b>"})

        assert answer.headers["X-Request-Id"] != "a<b>"
        assert all(answer.headers[name] == value for name, value in HEADERS.items())


def test_a_caller_has_so_many_requests_a_minute() -> None:
    rates = Rates(per_minute=2)

    assert [rates.wait("a", now=0.0), rates.wait("a", now=0.0), rates.wait("b", now=0.0)] == [0, 0, 0]
    assert rates.wait("a", now=0.0) == pytest.approx(30)
    assert rates.wait("a", now=31.0) == 0


def test_tokens_come_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{OPERATE}\n", encoding="utf-8")

    found = read_tokens({"KUBECOST_PIPELINES_READ_TOKEN": READ, "KUBECOST_PIPELINES_OPERATE_TOKEN_FILE": str(file)})

    assert found == {"read": READ, "operate": OPERATE}
    with pytest.raises(TokenError, match="shorter"):
        read_tokens({"KUBECOST_PIPELINES_READ_TOKEN": "short"})


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False)],
)
def test_which_addresses_are_this_machine_alone(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_metrics_tell_of_the_lake_and_of_requests(local: Server) -> None:
    local.get("/model/allocation", window=WINDOW)

    text = local.get("/metrics").text

    # The day of 5 October ends at 1791244800.
    assert 'kubecost_pipelines_newest_day_timestamp_seconds{key="one",table="allocations"} 1.7912448e+09' in text
    assert 'kubecost_pipelines_requests_total{route="/model/allocation",status="200"}' in text
