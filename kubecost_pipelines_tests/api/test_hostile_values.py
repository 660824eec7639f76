"""A thousand hostile values, as names, labels and parameters: they stay text."""

import csv
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from kubecost_pipelines_tests.api.served import WINDOW, Server, serve, write_allocations

SEEDS = (
    *(
        "' OR '1'='1",
        "'; DROP TABLE allocations; --",
        '" OR ""="',
        "1); ATTACH '/etc/passwd' AS x; --",
        "$1",
        "?",
        "%s",
    ),
    *("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "javascript:alert(1)", "{{7*7}}", "${7*7}"),
    *("../../../../etc/passwd", "..\\..\\windows", "file:///etc/passwd", "\\\\host\\share", "/dev/zero", "~root"),
    *('=HYPERLINK("http://evil")', "+1+1", "-2+3", "@SUM(A1)", "\tTAB", "a\r\nSet-Cookie: x=1", "a\nb"),
    *("\u202eevil", "\u0000nul", "\ufeffbom", "ｆｕｌｌ", "🧨", "é\u0301", "\ud7ff", "\uffff", "ÅÅÅ", "null", "NaN"),
    *("read_text('/etc/passwd')", "getenv('HOME')", "pragma_version()", "{first}", "%00", "%27", "&lt;", "]]>", "\\"),
    *('"', '\\"', "\\\\", '\\\\"', 'ends with "', "ends with \\", 'C:\\new "temp"', '"+namespace:"web'),
    *("__proto__", "constructor", "toString", "a" * 5_000, "*", "a*", ",", ":", "+", "|", "(", ")", "[a]", "a=b", ""),
)
VALUES = [f"{seed}{number or ''}" for number in range(17) for seed in SEEDS][:1_000]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    lake = tmp_path_factory.mktemp("hostile") / "lake"
    lake.mkdir()
    rows = [
        {"namespace": value, "pod": f"pod-{number}", "labels": {"team": value, "x": value}, "cpu_cost": 1.0}
        for number, value in enumerate(VALUES)
    ]
    write_allocations(lake, "one", rows)
    with serve(lake) as running:
        yield running


def test_there_are_a_thousand() -> None:
    assert len(VALUES) == 1_000


@pytest.mark.parametrize("aggregate", ["namespace", "team", "label:x"])
def test_each_is_stored_and_answered_as_the_text_that_it_is(server: Server, aggregate: str) -> None:
    prefix = "x=" if aggregate == "label:x" else ""
    expected = {f"{prefix}{value}" if value else "__unallocated__" for value in VALUES}

    assert set(server.costs(aggregate=aggregate)) == expected


def test_as_a_filter_each_finds_itself_alone_and_harms_nothing(server: Server) -> None:
    asked = list(dict.fromkeys([*SEEDS, *VALUES[::5]]))

    def found(value: str) -> set[str]:
        quoted = value.replace("\\", r"\\").replace('"', r"\"")
        return set(server.costs(aggregate="namespace", filter=f'namespace:"{quoted}"', idle="false"))

    with ThreadPoolExecutor(8) as pool:
        for value, names in zip(asked, pool.map(found, asked), strict=True):
            assert names == {value or "__unallocated__"}


def test_a_backslash_that_escapes_nothing_is_itself(server: Server) -> None:
    assert set(server.costs(aggregate="namespace", filter=r'namespace:"..\..\windows"')) == {r"..\..\windows"}


@pytest.mark.parametrize(
    "parameter",
    ["window", "aggregate", "filter", "filterLabels", "accumulate", "step", "shareLabels", "shareNamespaces", "format"],
)
def test_as_a_parameter_none_is_a_fault_and_nothing_of_the_machine_is_told(server: Server, parameter: str) -> None:
    def asked(value: str) -> tuple[int, str]:
        answer = server.get("/model/allocation", **{"window": WINDOW, "aggregate": "cluster", parameter: value})
        return answer.status_code, answer.text

    with ThreadPoolExecutor(8) as pool:
        for code, text in pool.map(asked, SEEDS):
            assert code in (200, 400), text
            assert "root:" not in text
            assert "duckdb" not in text.lower()


def test_after_all_of_it_nothing_is_gone(server: Server) -> None:
    assert sum(server.costs(aggregate="cluster").values()) == pytest.approx(1_000)


def test_in_a_spreadsheet_none_is_a_formula(server: Server) -> None:
    answer = server.get("/model/allocation", window=WINDOW, aggregate="namespace", format="csv")

    names = [row["name"] for row in csv.DictReader(io.StringIO(answer.text, newline=""))]
    assert len(names) == len(set(VALUES))
    assert not [name for name in names if name.startswith(("=", "+", "-", "@", "\t", "\r"))]
