"""A reader sees the whole old day or the whole new one, and a file says what it was made from."""

import os
import time
from datetime import date
from decimal import Decimal
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow.parquet as pq
import pytest

from kubecost_pipelines.core.tables import Column, Table
from kubecost_pipelines.lake import Engine, Lake, LakeError, open_engine
from kubecost_pipelines.settings.locations import locate

TABLE = Table(
    "things", "Things", "day × thing", "", (Column("name", "string", ""), Column("cost", "decimal(38, 12)", ""))
)
MONDAY, TUESDAY = date(2026, 10, 5), date(2026, 10, 6)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(locate((tmp_path / "lake").as_uri()), tmp_path)


def things(*rows: tuple[date, str, str]) -> ir.Table:
    schema = ibis.schema({"date": "date", "name": "string", "cost": "string"})
    table = ibis.memtable([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)
    return table.mutate(cost=table.cost.cast("decimal(38, 12)"))


def contents(lake: Lake, engine: Engine, *days: date) -> list[tuple[date, str, Decimal]]:
    rows = lake.read(TABLE, ["k"], days, engine).to_pyarrow().to_pylist()
    return sorted((row["date"], row["name"], row["cost"]) for row in rows)


def test_each_day_becomes_one_file_at_a_fixed_path(lake: Lake, engine: Engine, tmp_path: Path) -> None:
    staged = lake.stage(TABLE, things((MONDAY, "a", "1.5"), (TUESDAY, "b", "2")), engine)

    lake.publish(staged, ["k"], [MONDAY, TUESDAY])

    files = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "lake").rglob("*") if path.is_file())
    assert files == [f"lake/things/k/date={day}/data.parquet" for day in (MONDAY, TUESDAY)]
    assert contents(lake, engine, MONDAY, TUESDAY) == [(MONDAY, "a", Decimal("1.5")), (TUESDAY, "b", Decimal(2))]
    assert pq.read_schema(tmp_path / files[0]).names == ["name", "cost"]


def test_a_file_tells_its_rows_its_sums_and_its_inputs(lake: Lake, engine: Engine) -> None:
    staged = lake.stage(TABLE, things((MONDAY, "a", "0.1"), (MONDAY, "it's", "0.2")), engine)
    lake.publish(staged, ["k"], [MONDAY], inputs={"it's.csv.gz": "12-34"}, details={MONDAY: {"note": "x"}})

    known = lake.describe(TABLE, ["k"], MONDAY)

    assert known is not None
    assert (known.rows, known.sums) == (2, {"cost": Decimal("0.3")})
    assert known.inputs == {"it's.csv.gz": "12-34"}
    assert known.details["note"] == "x"
    assert lake.describe(TABLE, ["k"], TUESDAY) is None


def test_a_day_without_rows_is_a_file_that_says_complete_and_nothing(lake: Lake, engine: Engine) -> None:
    lake.publish(lake.stage(TABLE, things(), engine), ["k"], [MONDAY])

    known = lake.describe(TABLE, ["k"], MONDAY)
    assert known is not None
    assert (known.rows, known.sums["cost"]) == (0, 0)
    assert contents(lake, engine, MONDAY) == []


def test_reading_days_that_nobody_wrote_gives_an_empty_table_of_that_shape(lake: Lake, engine: Engine) -> None:
    assert contents(lake, engine, MONDAY) == []


def test_a_full_day_does_not_become_empty_where_that_means_lost_data(lake: Lake, engine: Engine) -> None:
    lake.publish(lake.stage(TABLE, things((MONDAY, "a", "1")), engine), ["k"], [MONDAY])

    with pytest.raises(LakeError, match=r"2026-10-05.*the lake's days stay"):
        lake.publish(lake.stage(TABLE, things((TUESDAY, "b", "1")), engine), ["k"], [MONDAY, TUESDAY], may_empty=False)

    assert contents(lake, engine, MONDAY, TUESDAY) == [(MONDAY, "a", Decimal(1))]


def test_rows_of_a_day_that_was_not_asked_for_are_refused(lake: Lake, engine: Engine) -> None:
    with pytest.raises(LakeError, match="2026-10-06"):
        lake.publish(lake.stage(TABLE, things((TUESDAY, "b", "1")), engine), ["k"], [MONDAY])


def test_a_column_that_an_older_file_lacks_reads_as_null(lake: Lake, engine: Engine) -> None:
    lake.publish(lake.stage(TABLE, things((MONDAY, "a", "1")), engine), ["k"], [MONDAY])
    newer = Table("things", "", "", "", (*TABLE.columns, Column("colour", "string", "")))

    [row] = lake.read(newer, ["k"], [MONDAY], engine).to_pyarrow().to_pylist()

    assert row["colour"] is None


def test_what_dead_writers_left_is_swept_and_what_live_ones_write_is_not(
    lake: Lake, engine: Engine, tmp_path: Path
) -> None:
    folder = tmp_path / "lake" / "things" / "k" / f"date={MONDAY}"
    folder.mkdir(parents=True)
    dead, alive = folder / ".dead.tmp", folder / ".alive.tmp"
    dead.touch()
    alive.touch()
    os.utime(dead, (time.time() - 7200,) * 2)

    lake.publish(lake.stage(TABLE, things((MONDAY, "a", "1")), engine), ["k"], [MONDAY])

    assert not dead.exists()
    assert alive.exists()


def write_for_ever(root: Path, written: Connection) -> None:
    """Replace one day again and again, and tell of each time: what a test runs in a process to kill."""
    with open_engine("600MB", root) as engine:
        lake = Lake(locate((root / "lake").as_uri()), root)
        for generation in range(10_000):
            numbers = ibis.range(200_000).unnest().name("n").as_table()
            cost = ibis.literal(1).cast("decimal(38, 12)")
            numbers = numbers.select(date=ibis.date(MONDAY), name=ibis.literal(str(generation)), cost=cost)
            lake.publish(lake.stage(TABLE, numbers, engine), ["k"], [MONDAY])
            written.send(generation)


def test_killed_while_writing_25_times_a_reader_always_finds_one_whole_generation(
    lake: Lake, engine: Engine, tmp_path: Path
) -> None:
    lake.publish(lake.stage(TABLE, things((MONDAY, "first", "1")), engine), ["k"], [MONDAY])
    path = lake.path(TABLE, ["k"], MONDAY)
    seen = set()
    processes = get_context("forkserver")  # imports once for all of them
    processes.set_forkserver_preload([__name__])

    for trial in range(25):
        written, tells = processes.Pipe(duplex=False)
        writer = processes.Process(target=write_for_ever, args=(tmp_path, tells))
        writer.start()
        assert written.poll(60)
        time.sleep(0.01 * trial)
        writer.kill()
        writer.join()
        names = set(pq.read_table(path, columns=["name"]).column("name").to_pylist())
        known = lake.describe(TABLE, ["k"], MONDAY)
        assert len(names) == 1
        assert known is not None
        assert known.rows == pq.read_metadata(path).num_rows in (1, 200_000)
        seen |= names

    assert len(seen) > 1, "every writer died at the same generation: the kills did not fall among the writes"
