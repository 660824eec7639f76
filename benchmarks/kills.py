"""Kill run workers while they write, and look at the lake: `python -m benchmarks.kills [trials]`.

A worker is a process that runs Dagster's own steps over the real graph: it reads the bill of two weeks and writes its
days. It is killed when a random number of files is there. Forked, so that a trial does not wait for Python's imports.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import psutil

from kubecost_pipelines.core.window import DAY
from kubecost_pipelines.definitions import build_definitions
from kubecost_pipelines.demo.aws_bill import write_aws_bill
from kubecost_pipelines.settings import Settings

ACCOUNT, TABLES = "111122223333", ("cloud_billing", "cloud_assets")
Content = dict[str, tuple[int, Decimal]]
"""`<table>/<day>` -> rows and Σ billed cost."""


def main() -> None:
    """Print what was killed and what was found."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    with tempfile.TemporaryDirectory() as folder:
        left = run_trials(Path(folder), trials)
    print(f"{len(left)} of {trials} workers were killed while they wrote; of 28 files they left {sorted(left)}.")
    print("Every file was whole, and after the retry the lake was what an undisturbed run writes.")
    with tempfile.TemporaryDirectory() as folder:
        states = run_restated_trials(Path(folder), trials)
    print(
        f"{len(states)} of {trials} workers were killed while they read a restated bill: {states.count('old')} left "
        f"the day as it was, {states.count('new')} as it is now. After the retry its restatement was told once."
    )


def run_trials(folder: Path, trials: int) -> list[int]:
    """Kill `trials` workers; return how many files each left.

    Raises:
        AssertionError: a file was not whole, or the retry did not complete the lake: something was lost or doubled.
    """
    last = datetime.now(UTC).date() - DAY
    window = [last - DAY * i for i in range(13, -1, -1)]
    settings = _settings(folder, window)
    write_aws_bill(folder / "cur", window, version=1, restated_day=last)
    assert _end_of(_worker(folder, settings, window)) == 0
    expected = _content(folder, window)
    chance, left = random.Random(1), []
    for _ in range(trials):
        shutil.rmtree(folder / "lake")
        worker = _worker(folder, settings, window)
        _wait_for_files(folder, chance.randint(1, len(expected) - 1), worker)
        os.kill(worker, signal.SIGKILL)
        if _end_of(worker) == -signal.SIGKILL:
            found = _content(folder, window)
            assert found.items() <= expected.items()
            left.append(len(found))
        assert _end_of(_worker(folder, settings, window)) == 0
        assert _content(folder, window) == expected
    return left


def run_restated_trials(folder: Path, trials: int) -> list[str]:
    """Kill `trials` workers that read a bill of which one day is another; return whether each left it old or new.

    Raises:
        AssertionError: the day was neither, or the retry did not leave what an undisturbed run does, its restatement
            told once included.
    """
    last = datetime.now(UTC).date() - DAY
    window = [last - DAY * i for i in range(13, -1, -1)]
    settings, lake, kept = _settings(folder, window), folder / "lake", folder / "first"
    write_aws_bill(folder / "cur", window, version=1, restated_day=last)
    assert _end_of(_worker(folder, settings, window)) == 0
    old = _content(folder, window)
    lake.rename(kept)
    write_aws_bill(folder / "cur", window, version=2, restated_day=last)
    shutil.copytree(kept, lake)
    began = time.monotonic()
    assert _end_of(_worker(folder, settings, window)) == 0
    whole = time.monotonic() - began
    new, told = _content(folder, window), _restatements(folder)
    day = f"cloud_billing/{last}"
    assert old[day] != new[day]
    assert sum(difference for *_, difference in told) == new[day][1] - old[day][1]
    chance, states = random.Random(1), []
    for _ in range(trials):
        shutil.rmtree(lake)
        shutil.copytree(kept, lake)
        worker = _worker(folder, settings, window)
        time.sleep(whole * chance.uniform(0.3, 1.0))
        os.kill(worker, signal.SIGKILL)
        if _end_of(worker) == -signal.SIGKILL:
            left = _content(folder, window)
            assert all(left[one] in (old[one], new[one]) for one in new)
            states.append("old" if left[day] == old[day] else "new")
        assert _end_of(_worker(folder, settings, window)) == 0
        assert (_content(folder, window), _restatements(folder)) == (new, told)
    return states


def _restatements(folder: Path) -> list[tuple[Any, ...]]:
    """Return what the lake tells of restated days: revision, what it is about, and the difference of billed cost."""
    files = str(folder / "lake/restatements/aws" / ACCOUNT / "*/data.parquet")
    query = (
        "SELECT date, revision, service_name, category, billed_cost_difference "
        f"FROM read_parquet('{files}', hive_partitioning = true) ORDER BY ALL"
    )
    with duckdb.connect() as connection:
        return connection.execute(query).fetchall()


def _wait_for_files(folder: Path, count: int, worker: int) -> None:
    while len(list((folder / "lake").rglob("data.parquet"))) < count and psutil.pid_exists(worker):
        time.sleep(0.002)


def _settings(folder: Path, window: list[date]) -> Settings:
    store = {"provider": "aws", "id": ACCOUNT, "export": (folder / "cur").as_uri()}
    content = {"lake": (folder / "lake").as_uri(), "start_date": str(window[0]), "cloud_stores": [store]}
    return Settings.model_validate(content)


def _worker(folder: Path, settings: Settings, window: list[date]) -> int:
    """Start a worker and return its process id."""
    if worker := os.fork():
        return worker
    code = 1
    try:
        with (folder / "workers.log").open("ab") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        definitions = build_definitions(settings)
        with dg.DagsterInstance.ephemeral() as instance:
            result = dg.materialize(
                [asset for asset in definitions.assets or [] if isinstance(asset, dg.AssetsDefinition)],
                instance=instance,
                resources=definitions.resources,
                selection=[dg.AssetKey([table, "aws", ACCOUNT]) for table in TABLES],
                tags={
                    "dagster/asset_partition_range_start": str(window[0]),
                    "dagster/asset_partition_range_end": str(window[-1]),
                },
                raise_on_error=False,
            )
        code = 0 if result.success else 1
    finally:
        os._exit(code)


def _end_of(worker: int) -> int:
    """Wait for a worker; return its exit code, or less the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])


def _content(folder: Path, window: list[date]) -> Content:
    found: Content = {}
    with duckdb.connect() as connection:
        for table in TABLES:
            for day in window:
                path = folder / "lake" / table / "aws" / ACCOUNT / f"date={day}" / "data.parquet"
                if not path.exists():
                    continue
                [row] = connection.execute(
                    "SELECT count(*), coalesce(sum(billed_cost), 0) FROM read_parquet($path)", {"path": str(path)}
                ).fetchall()
                found[f"{table}/{day}"] = (row[0], Decimal(row[1]))
    return found


if __name__ == "__main__":
    main()
