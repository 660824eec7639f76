"""What a client asks, what it believes, and what it says when it does not."""

import socket
import time
from pathlib import Path

import pytest

from kubecost_pipelines.clusters import ClusterClient, ClusterError, EmptyDayError
from kubecost_pipelines_tests.clusters.api_server import (
    DAY,
    END,
    IN_TROUBLE,
    NOT_FOUND,
    START,
    ApiServer,
    Reply,
    allocation,
    asset,
    data,
    page,
)
from kubecost_pipelines_tests.clusters.conftest import Connect

ONE = data([{"a": allocation()}])


def test_a_day_is_asked_for_by_its_bounds_in_utc_with_idle_cost_by_node(
    server: ApiServer, connect: Connect, file: Path
) -> None:
    server.on("/model/allocation", ONE)
    server.on("/allocation/compute", ONE)

    connect().fetch_allocations(DAY, file)
    connect(flavour="opencost").fetch_allocations(DAY, file)

    by_day = {"window": f"{START},{END}", "step": "1d", "accumulate": "false", "idleByNode": "true"}
    [kubecost], [opencost] = server.asked["/model/allocation"], server.asked["/allocation/compute"]
    assert kubecost.items() >= {**by_day, "idle": "true", "splitIdle": "true", "shareIdle": "false"}.items()
    assert opencost == {**by_day, "includeIdle": "true"}
    assert server.headers[0]["Accept-Encoding"] == "gzip"


@pytest.mark.parametrize(
    ("routes", "flavour"),
    [
        ({"/model/allocation?total": ONE}, "kubecost"),
        ({"/allocation/compute?total": ONE}, "opencost"),
        ({"/model/allocation?total": page(), "/allocation/compute?total": ONE}, "opencost"),
    ],
)
def test_the_server_tells_its_flavour_once(
    server: ApiServer, connect: Connect, routes: dict[str, Reply], flavour: str
) -> None:
    for route, reply in routes.items():
        server.on(route, reply)
    client = connect(flavour="auto")

    assert client.probe().name == flavour
    assert client.probe().name == flavour
    assert all(len(questions) == 1 for questions in server.asked.values())


def test_a_server_with_neither_api_says_what_it_answered(server: ApiServer, connect: Connect) -> None:
    with pytest.raises(
        ClusterError, match=r"(?s)/model/allocation: status 404.*/allocation/compute: status 404.*`endpoint`"
    ):
        connect(flavour="auto").probe()


def test_a_map_instead_of_a_list_is_a_day_too(server: ApiServer, connect: Connect, file: Path) -> None:
    server.on("/assets", data({"a": asset("ClusterManagement", "Management", 2.4)}, warning="slow", message=None))

    assert connect(flavour="opencost").fetch_assets(DAY, file).rows == 1


def test_a_compressed_answer_is_read(server: ApiServer, connect: Connect, file: Path) -> None:
    server.on("/model/allocation", Reply(ONE.body, headers={"Content-Encoding": "gzip"}))

    assert connect().fetch_allocations(DAY, file).rows == 1


BREAKDOWNS = {
    "status 500": IN_TROUBLE,
    "status 504": page(504),
    "status 429": Reply(b"slow down", 429),
    "half a body": Reply(ONE.body, cut=len(ONE.body) // 2),
    "half a compressed body": Reply(ONE.body, headers={"Content-Encoding": "gzip"}, cut=100),
    "JSON that stops": Reply(ONE.body[:-1]),
    "a compressed body that is not": Reply(ONE.body, headers={"content-encoding": "gzip"}),
    "a dropped connection": Reply(b"", drop=True),
    "an empty body": Reply(b""),
    "an error inside a 200": Reply(b'{"code":500,"data":null,"message":"query failed"}'),
    "an error behind the data": Reply(b'{"data":[],"code":503}'),
}


@pytest.mark.parametrize("breakdown", BREAKDOWNS)
def test_a_breakdown_that_passes_is_forgotten(server: ApiServer, connect: Connect, file: Path, breakdown: str) -> None:
    server.on("/model/allocation", BREAKDOWNS[breakdown], BREAKDOWNS[breakdown], ONE)

    fetched = connect(max_attempts=3).fetch_allocations(DAY, file)

    assert (fetched.rows, fetched.total_cost) == (1, 1.0)
    assert len(server.asked["/model/allocation"]) == 3


@pytest.mark.parametrize("breakdown", BREAKDOWNS)
def test_a_breakdown_that_stays_is_an_error_and_leaves_no_file(
    server: ApiServer, connect: Connect, file: Path, breakdown: str
) -> None:
    server.on("/model/allocation", BREAKDOWNS[breakdown])

    with pytest.raises(
        ClusterError, match=r"^prod-eks-1: allocations of 2026-10-01: asked .*after 2 attempts"
    ) as caught:
        connect(max_attempts=2).fetch_allocations(DAY, file)

    assert "\n" not in str(caught.value)
    assert not file.exists()
    assert len(server.asked["/model/allocation"]) == 2


def test_an_error_quotes_the_beginning_of_the_last_answer_on_one_line(
    server: ApiServer, connect: Connect, file: Path
) -> None:
    server.on("/model/allocation", Reply(b"out of\nmemory " * 100, 500))

    with pytest.raises(ClusterError, match="out of memory") as caught:
        connect(max_attempts=1).fetch_allocations(DAY, file)

    assert len(str(caught.value)) < 500


def test_half_an_answer_is_quoted_too(server: ApiServer, connect: Connect, file: Path) -> None:
    many = data([{str(i): allocation() for i in range(20)}])
    server.on("/model/allocation", Reply(many.body, cut=len(many.body) // 2))

    with pytest.raises(ClusterError, match=r"broke off: .*begins '{\"code\": 200.*cuts answers off"):
        connect(max_attempts=1).fetch_allocations(DAY, file)


def test_a_server_that_takes_too_long_is_given_up(server: ApiServer, connect: Connect, file: Path) -> None:
    server.on("/model/allocation", Reply(b"", delay_seconds=0.5))

    with pytest.raises(ClusterError, match=r"ReadTimeoutError.*read_timeout_seconds"):
        connect(max_attempts=1, read_timeout_seconds=0.05).fetch_allocations(DAY, file)


@pytest.mark.parametrize(
    ("reply", "cure"),
    [
        (Reply(b"no", 401), "token_env"),
        (Reply(b"no", 403), "token_env"),
        (Reply(b'{"code":400,"message":"illegal window"}', 400), "flavour"),
        (NOT_FOUND, "endpoint"),
        (page(), "login page"),
        (Reply(b"  <!doctype html>"), "login page"),
        (Reply(b'{"code":400,"message":"illegal window"}'), "flavour"),
        (data([{"a": allocation(cpuCost="much")}]), "report it"),
        (data([{"a": allocation(start="yesterday")}]), "report it"),
    ],
)
def test_a_refusal_is_not_asked_again(server: ApiServer, connect: Connect, file: Path, reply: Reply, cure: str) -> None:
    server.on("/model/allocation", reply)

    with pytest.raises(ClusterError, match=cure):
        connect().fetch_allocations(DAY, file)

    assert not file.exists()
    assert len(server.asked["/model/allocation"]) == 1


def test_a_redirect_to_a_login_page_is_told_as_such(server: ApiServer, connect: Connect, file: Path) -> None:
    server.on("/model/allocation", Reply(b"", 302, {"Location": "/login"}))
    server.on("/login", page())

    with pytest.raises(ClusterError, match=r"status 200 and a page, '<html><title>Please sign in.*login page"):
        connect().fetch_allocations(DAY, file)


@pytest.mark.parametrize("nothing", [None, [], [{}], {}, [{}, {}], [None]])
def test_a_day_without_anything_is_an_error_of_its_own(
    server: ApiServer, connect: Connect, file: Path, nothing: object
) -> None:
    server.on("/model/allocation", data(nothing))

    with pytest.raises(EmptyDayError, match=r"nothing for 2026-10-01.*retention"):
        connect().fetch_allocations(DAY, file)

    assert not file.exists()


def test_a_day_with_nothing_that_the_cluster_estimates_is_empty(
    server: ApiServer, connect: Connect, file: Path
) -> None:
    server.on("/model/assets", data([{"a": asset("Cloud", "Compute", 1.0)}]))

    with pytest.raises(EmptyDayError, match="Cloud"):
        connect().fetch_assets(DAY, file)


def test_several_sets_for_one_day_are_refused(server: ApiServer, connect: Connect, file: Path) -> None:
    server.on("/model/assets", data([{"a": asset("Node", "Compute", 1.0)}, {}, {"a": asset("Node", "Compute", 1.0)}]))

    with pytest.raises(ClusterError, match=r"several sets.*UTC offset"):
        connect().fetch_assets(DAY, file)

    assert not file.exists()


def test_another_days_items_are_refused(server: ApiServer, connect: Connect, file: Path) -> None:
    other = allocation(start="2026-09-30T00:00:00Z", end=START)
    server.on("/model/allocation", data([{"a": other}]))

    with pytest.raises(ClusterError, match="none of them on that day"):
        connect().fetch_allocations(DAY, file)


def test_items_of_two_clusters_are_refused(server: ApiServer, connect: Connect, file: Path) -> None:
    server.on("/model/allocation", data([{"a": allocation(), "b": allocation("test/n/s/p/c")}]))

    with pytest.raises(ClusterError, match=r"2 clusters \(prod, test\).*federated"):
        connect().fetch_allocations(DAY, file)

    assert not file.exists()


def total(*costs: float) -> Reply:
    return data([{str(i): {"name": str(i), "totalCost": cost} for i, cost in enumerate(costs)}])


def test_half_a_day_is_asked_again_until_it_adds_up(server: ApiServer, connect: Connect, file: Path) -> None:
    whole = data([{"a": allocation(), "b": allocation()}])
    server.on("/model/allocation", ONE, whole)
    server.on("/model/allocation?total", total(1.5))

    assert connect(verify_totals=True).fetch_allocations(DAY, file).rows == 2

    [asked, *_] = server.asked["/model/allocation?total"]
    [first, *_] = server.asked["/model/allocation"]
    assert asked == {**first, "aggregate": "cluster"}


def test_half_a_day_that_stays_so_is_refused(server: ApiServer, connect: Connect, file: Path) -> None:
    server.on("/model/allocation", ONE)
    server.on("/model/allocation?total", total(1.5))

    with pytest.raises(ClusterError, match=r"half a day: 1 allocations .* 0\.75000.* 1\.50000.*verify_totals: false"):
        connect(verify_totals=True, max_attempts=2).fetch_allocations(DAY, file)

    assert not file.exists()


def test_idle_cost_in_a_row_of_its_own_and_rounding_add_up(server: ApiServer, connect: Connect, file: Path) -> None:
    server.on("/model/allocation", ONE)
    server.on("/model/allocation?total", total(0.5, 0.25001))

    assert connect(verify_totals=True).fetch_allocations(DAY, file).rows == 1


def test_a_server_is_given_the_time_it_asks_for(server: ApiServer, connect: Connect, file: Path) -> None:
    server.on("/model/allocation", Reply(b"", 429, {"Retry-After": "1"}), ONE)
    started = time.monotonic()

    connect().fetch_allocations(DAY, file)

    assert 1 <= time.monotonic() - started < 5


def test_a_server_that_is_not_there_is_named(connect: Connect, file: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"

    for flavour in ("kubecost", "auto"):
        with pytest.raises(ClusterError, match=r"no answer: .*refused.*after 2 attempts.*`endpoint`"):
            connect(endpoint=endpoint, flavour=flavour, max_attempts=2).fetch_allocations(DAY, file)

    assert not file.exists()


def test_a_token_is_sent_and_never_told(
    server: ApiServer, connect: Connect, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("COST_TOKEN", "s3cr3t\n")
    server.on("/model/allocation", Reply(b"", 500, echoes_headers=True))

    with pytest.raises(ClusterError) as caught:
        connect(token_env="COST_TOKEN", max_attempts=2).fetch_allocations(DAY, file)

    assert server.headers[0]["Authorization"] == "Bearer s3cr3t"
    assert "REDACTED" in str(caught.value)
    assert "s3cr3t" not in str(caught.value) + caplog.text


@pytest.mark.parametrize("in_url", [False, True])
def test_a_password_is_sent_and_never_told(
    server: ApiServer, connect: Connect, file: Path, monkeypatch: pytest.MonkeyPatch, in_url: bool
) -> None:
    monkeypatch.setenv("COST_PASSWORD", "s3cr3t")
    server.on("/model/allocation", Reply(b"", echoes_headers=True))
    client = (
        connect(endpoint=server.endpoint.replace("//", "//ann:s3cr3t@"), max_attempts=1)
        if in_url
        else connect(username="ann", password_env="COST_PASSWORD", max_attempts=1)
    )

    with pytest.raises(ClusterError) as caught:
        client.fetch_allocations(DAY, file)

    assert server.headers[0]["Authorization"] == "Basic YW5uOnMzY3IzdA=="
    assert not any(secret in str(caught.value) for secret in ("s3cr3t", "YW5uOnMzY3IzdA"))


@pytest.mark.parametrize("value", [None, "", "two\nlines", "naïve"])
def test_a_secret_that_cannot_be_used_names_its_variable(
    server: ApiServer,
    connect: Connect,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    value: str | None,
) -> None:
    monkeypatch.delenv("COST_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("COST_TOKEN", value)

    with pytest.raises(ClusterError, match="COST_TOKEN") as caught:
        connect(token_env="COST_TOKEN").fetch_allocations(DAY, file)

    assert not value or value not in str(caught.value)
    assert not server.asked


def test_a_certificate_authority_that_is_not_there_is_named(connect: Connect, file: Path) -> None:
    with pytest.raises(ClusterError, match=r"/no/ca\.pem.*`ca_file`"):
        connect(ca_file="/no/ca.pem").fetch_assets(DAY, file)


def test_an_earlier_file_does_not_outlive_a_failure(server: ApiServer, connect: Connect, file: Path) -> None:
    file.write_bytes(b"an earlier attempt")

    with pytest.raises(ClusterError):
        connect(flavour="auto").fetch_assets(DAY, file)

    assert not file.exists()


def test_a_client_does_nothing_before_it_is_asked(server: ApiServer, connect: Connect) -> None:
    client: ClusterClient = connect(token_env="NOT_SET_ANYWHERE", flavour="auto")

    assert client.cluster.name == "prod-eks-1"
    assert not server.asked
