"""Bills that are taken apart while they are read: put together again, they say what the files say."""

import csv
import gzip
import io
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ibis.backends.duckdb import Backend
from pyarrow.csv import ReadOptions

from kubecost_pipelines.clouds import star_schema
from kubecost_pipelines.clouds.star_schema import column_names, read_lines, take_apart
from kubecost_pipelines.core.bills.star import DATES, TEXTS, StarColumns

COLUMNS = StarColumns(texts=("id", "Tags"), dates=("Date",), figures=("cost",))


def together(paths: Sequence[Path], engine: Backend, kind: str = "csv") -> list[tuple[Any, ...]]:
    """Return the lines of files as a star tells them, in any order."""
    star = take_apart(read_lines([str(path) for path in paths], kind, COLUMNS, engine), COLUMNS, engine)
    rows = star.lines.join(star.texts, TEXTS).join(star.dates, DATES).select(*COLUMNS.all)
    return sorted((tuple(row.values()) for row in rows.to_pyarrow().to_pylist()), key=str)


def write(path: Path, lines: Sequence[Sequence[str]], header: Sequence[str] = COLUMNS.all) -> Path:
    text = io.StringIO()
    csv.writer(text).writerows([header, *lines])
    path.write_bytes(gzip.compress(text.getvalue().encode()) if path.suffix == ".gz" else text.getvalue().encode())
    return path


def random_lines(count: int) -> list[tuple[str, ...]]:
    chance = random.Random(7)
    texts = ["", "a", "A", "b,c", 'say "x"', "two\nlines", "grün", "x" * 500, '{"team": "web"}']
    return [
        (chance.choice(texts), chance.choice(texts), f"2026-10-{chance.randint(1, 31):02}", str(chance.random()))
        for _ in range(count)
    ]


@pytest.mark.parametrize("at_once", [1, 64, 10_000])
@pytest.mark.parametrize("most", [1 << 62, 4], ids=["few", "too many for a number"])
@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_lines_come_together_as_they_were(
    engine: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int, most: int, ending: str
) -> None:
    monkeypatch.setattr(star_schema, "LINES_AT_ONCE", at_once)
    monkeypatch.setattr(star_schema, "MOST_COMBINATIONS", most)
    monkeypatch.setattr(star_schema, "_READING", ReadOptions(block_size=1 << 11))
    lines = random_lines(1000)

    assert together([write(tmp_path / f"a.{ending}", lines)], engine) == sorted(lines, key=str)


def test_what_lines_repeat_is_there_once(engine: Backend, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", random_lines(1000))

    star = take_apart(read_lines([str(path)], "csv", COLUMNS, engine), COLUMNS, engine)

    assert star.lines.count().to_pyarrow().as_py() == 1000
    assert star.texts.count().to_pyarrow().as_py() == 81  # of 9 texts in 2 columns
    assert star.dates.count().to_pyarrow().as_py() == 31


def test_files_with_other_headers_are_one_bill(engine: Backend, tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", [("1", "t", "2026-10-01", "1.5")])
    second = write(
        tmp_path / "b.csv", [("\ufeff", "2.5", "x", "2026-10-02", "2")], ["\ufeffnew", "cost", "Region", "Date", "id"]
    )

    assert column_names([str(first), str(second)], "csv", engine) == [*COLUMNS.all, "new", "Region"]
    assert together([first, second], engine) == [("1", "t", "2026-10-01", "1.5"), ("2", None, "2026-10-02", "2.5")]


def test_gzip_in_several_members(engine: Backend, tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.csv.gz", [("1", "t", "d", "1")]), gzip.compress(b"2,t,d,1\r\n")
    first.write_bytes(first.read_bytes() + second)

    assert together([first], engine) == [("1", "t", "d", "1"), ("2", "t", "d", "1")]


def test_a_file_of_a_header_has_no_lines(engine: Backend, tmp_path: Path) -> None:
    assert together([write(tmp_path / "a.csv", [])], engine) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,Tags,Date,cost\n1,t,d,1\n2,t\n", "Expected 4 columns, got 2"),
        ('id,Date,cost,Tags\n1,d,1,"t\n2,d,1,t\n3,d,1,t\n', "a quote is not closed"),
        ('id,Date,cost,Tags\n1,d,1,"t\n', "a quote is not closed"),
        ("id,Tags,Date,cost\n1,\xff,d,1\n", "invalid UTF8"),
    ],
    ids=["too few fields", "open quote", "open quote at the end", "not UTF-8"],
)
def test_a_broken_file_is_never_less_cost(engine: Backend, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.csv").write_bytes(text.encode("latin-1"))

    with pytest.raises(pa.ArrowInvalid, match=words):
        together([tmp_path / "a.csv"], engine)


def test_a_file_that_is_cut_off(engine: Backend, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv.gz", random_lines(1000))
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(pa.ArrowInvalid, match="Truncated"):
        together([path], engine)


def test_parquet_keeps_its_types(engine: Backend, tmp_path: Path) -> None:
    day, cost = datetime(2026, 10, 5, tzinfo=UTC), Decimal("1.50")
    columns: dict[str, list[Any]] = {"id": ["1", "2", None], "Date": [day] * 3, "cost": [cost] * 3, "more": [1, 2, 3]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")

    assert column_names([str(tmp_path / "a.parquet")], "parquet", engine) == [*columns]
    assert together([tmp_path / "a.parquet"], engine, "parquet") == [
        (name, None, day, cost) for name in ("1", "2", None)
    ]


def test_other_files_are_read_by_the_engine(engine: Backend, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"id": "1", "Tags": "t", "Date": "d", "cost": "1"}\n')

    assert together([path], engine, "json") == [("1", "t", "d", "1")]


def test_the_next_bill_takes_the_place_of_the_last(engine: Backend, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert together([write(tmp_path / f"{name}.csv", [(name, "", "", "")])], engine) == [(name, "", "", "")]
