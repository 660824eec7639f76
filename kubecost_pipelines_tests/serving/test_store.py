"""The serving store: in step with the lake, changed day by day, made anew whenever its file is gone or damaged."""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import duckdb
import pytest
import requests

from kubecost_pipelines.serving.reader import QueryTooLongError, ServingReader, current_file
from kubecost_pipelines.serving.store import Refreshed, refresh
from kubecost_pipelines.settings.locations import locate
from kubecost_pipelines_tests.api.served import DAY, Server, serve, write_allocations

NEXT = date(2026, 10, 6)
BOTH = "2026-10-05T00:00:00Z,2026-10-07T00:00:00Z"
COST = "SELECT cluster, date, total_cost FROM allocations ORDER BY ALL"
SUMS = "SELECT span, cluster, total_cost FROM clusters ORDER BY ALL"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Two clusters, `one` at 1 and 2, `two` at 5."""
    lake = tmp_path / "lake"
    lake.mkdir()
    write_allocations(lake, "one", [{"date": DAY, "namespace": "web", "cpu_cost": 1.0}])
    write_allocations(lake, "one", [{"date": NEXT, "namespace": "web", "cpu_cost": 2.0}])
    write_allocations(lake, "two", [{"date": DAY, "namespace": "web", "cpu_cost": 5.0}])
    return lake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def refreshed(lake: Path, folder: Path) -> Refreshed | None:
    return refresh(locate(lake.as_uri()), folder, [])


def told(folder: Path, sql: str = COST) -> list[tuple[object, ...]]:
    reader = ServingReader(folder)
    try:
        return [tuple(row.values()) for row in reader.query(sql)]
    finally:
        reader.close()


def file_of(lake: Path, cluster: str, day: date) -> Path:
    return lake / "reconciled_allocations" / cluster / f"date={day}" / "data.parquet"


def make_unreadable(file: Path) -> None:
    """Put zeros in the place of a file, of the same size and time: who reads it fails, who looks at it sees nothing."""
    before = file.stat()
    file.write_bytes(bytes(before.st_size))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_only_the_days_that_changed_are_read_again(lake: Path, folder: Path) -> None:
    refreshed(lake, folder)
    write_allocations(lake, "one", [{"date": NEXT, "namespace": "web", "cpu_cost": 3.0}])
    make_unreadable(file_of(lake, "one", DAY))
    make_unreadable(file_of(lake, "two", DAY))

    done = refreshed(lake, folder)

    assert done is not None
    assert done.days == 1
    assert told(folder) == [("one", DAY, 1.0), ("one", NEXT, 3.0), ("two", DAY, 5.0)]
    months = [(202610, "one", 4.0), (202610, "two", 5.0)]
    days = [(20261005, "one", 1.0), (20261005, "two", 5.0), (20261006, "one", 3.0)]
    assert told(folder, SUMS) == months + days


def test_a_day_that_leaves_the_lake_leaves_the_store(lake: Path, folder: Path) -> None:
    refreshed(lake, folder)
    shutil.rmtree(file_of(lake, "one", DAY).parent)

    done = refreshed(lake, folder)

    assert done is not None
    assert done.days == 1
    assert told(folder) == [("one", NEXT, 2.0), ("two", DAY, 5.0)]
    assert told(folder, SUMS)[0] == (202610, "one", 2.0)


def test_a_store_that_was_deleted_is_made_anew(lake: Path, folder: Path) -> None:
    refreshed(lake, folder)
    shutil.rmtree(folder)

    done = refreshed(lake, folder)

    assert done is not None
    assert done.days == 3
    assert told(folder) == [("one", DAY, 1.0), ("one", NEXT, 2.0), ("two", DAY, 5.0)]


def test_a_file_that_is_no_database_is_made_anew(lake: Path, folder: Path) -> None:
    done = refreshed(lake, folder)
    assert done is not None
    done.path.write_bytes(b"no database" * 1000)

    refreshed(lake, folder)

    assert told(folder) == [("one", DAY, 1.0), ("one", NEXT, 2.0), ("two", DAY, 5.0)]


def test_stores_of_before_are_swept(lake: Path, folder: Path) -> None:
    refreshed(lake, folder)
    write_allocations(lake, "one", [{"date": NEXT, "namespace": "web", "cpu_cost": 3.0}])
    (folder / "store-20260101T000000-killed.tmp").write_bytes(b"half a store")

    refreshed(lake, folder)

    assert [path.name for path in folder.glob("store-*")] == [current_file(folder).name]  # type: ignore[union-attr]


@pytest.fixture
def server(lake: Path) -> Iterator[Server]:
    with serve(lake) as running:
        yield running


def test_a_store_that_is_damaged_while_it_answers_is_made_anew(server: Server) -> None:
    """Its list of days is whole, hence only a question finds out that the rows are not."""
    path = current_file(server.serving.folder)
    assert path is not None
    damage_rows(path)

    refused = server.get("/model/allocation", window=BOTH, aggregate="pod", accumulate="true")
    server.serving.refresh()
    [whole] = server.data("/model/allocation", window=BOTH, aggregate="cluster", accumulate="true")

    assert refused.status_code == 503
    assert "is damaged" in refused.json()["message"]
    assert refused.headers["Retry-After"] == "5"
    assert {name: item["totalCost"] for name, item in whole.items()} == {"one": 3.0, "two": 5.0}


def damage_rows(path: Path) -> None:
    """Overwrite the blocks that hold allocations, as DuckDB tells where they are; a file begins with three headers."""
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{path}' AS store (READ_ONLY)")
        of_rows, of_others = (
            connection.execute(f"SELECT DISTINCT block_id FROM pragma_storage_info('store.{table}')").fetchall()
            for table in ("allocations", "lake_files")
        )
        [(size,)] = connection.execute(
            "SELECT block_size FROM pragma_database_size() WHERE database_name = 'store'"
        ).fetchall()
    with path.open("r+b") as file:
        for (block,) in set(of_rows) - set(of_others) - {(-1,)}:
            file.seek(3 * 4096 + block * size)
            file.write(os.urandom(size))


def test_a_file_that_is_swept_while_it_is_opened_is_not_missed(
    lake: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshed(lake, folder)
    found = [folder / "store-of-before.duckdb", current_file(folder)]
    monkeypatch.setattr("kubecost_pipelines.serving.reader.current_file", lambda _folder: found.pop(0))

    assert told(folder)[0] == ("one", DAY, 1.0)


def test_each_answer_is_of_one_version_of_the_lake_while_stores_are_swapped(lake: Path, server: Server) -> None:
    """Both days of `one` cost the same in any version: an answer out of two of them would differ."""

    def write(cost: int) -> None:
        rows = [{"date": day, "namespace": "web", "cpu_cost": float(cost)} for day in (DAY, NEXT)]
        write_allocations(lake, "one", rows)
        server.serving.refresh()

    def asked() -> requests.Response:
        return server.get("/model/allocation", window=BOTH, aggregate="cluster")

    def ask() -> None:
        while not is_over.is_set():
            answers.append(asked())

    write(1)
    answers, is_over = list[requests.Response](), threading.Event()
    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    for cost in range(2, 8):
        write(cost)
    is_over.set()
    for client in clients:
        client.join()

    assert {answer.status_code for answer in answers} == {200}
    costs = {tuple(one["one"]["totalCost"] for one in answer.json()["data"]) for answer in [*answers, asked()]}
    assert all(first == second for first, second in costs)
    assert {(1.0, 1.0), (7.0, 7.0)} < costs


def test_a_question_that_does_not_end_or_takes_too_much_is_ended(lake: Path, folder: Path) -> None:
    refreshed(lake, folder)
    reader = ServingReader(folder, query_seconds=0.2, memory_limit="20MB")

    with pytest.raises(QueryTooLongError, match=r"took more than 0\.2 s\. Ask for a shorter window"):
        reader.query("SELECT count(*) FROM range(1000000000000) WHERE sin(range) > 2")
    with pytest.raises(QueryTooLongError, match=r"more than 20MB of memory\. Ask for a shorter window"):
        ServingReader(folder, memory_limit="20MB").query("SELECT list(range) FROM range(100000000)")

    assert reader.query("SELECT 1 AS one") == [{"one": 1}]
    reader.close()


def test_a_question_within_its_time_goes_on_when_another_is_ended(lake: Path, folder: Path) -> None:
    refreshed(lake, folder)
    hasty, patient = ServingReader(folder, query_seconds=0.2), ServingReader(folder, query_seconds=60)
    counted = "SELECT count(*) AS n FROM range({}) WHERE sin(range) > 2"

    for pause in (0, 1):  # The second time, nothing has been asked for longer than the watch looks.
        time.sleep(pause)
        with ThreadPoolExecutor() as pool:
            goes_on = pool.submit(patient.query, counted.format(60_000_000))
            with pytest.raises(QueryTooLongError):
                hasty.query(counted.format(10**12))
            is_still_asked = not goes_on.done()
            assert goes_on.result() == [{"n": 0}]
        assert is_still_asked
    hasty.close()
    patient.close()
