"""How long `status` takes for 100 bills × 3 years: `python -m benchmarks.status`."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events
from sqlalchemy import insert, select

from kubecost_pipelines.core.window import DAY
from kubecost_pipelines.operations.status import read_status
from kubecost_pipelines.settings import load_settings

STORES, DAYS, GOAL_SECONDS = 100, 3 * 365, 2.0
TABLES = ("cloud_billing", "cloud_assets", "reconciled_assets")
ROWS_AT_ONCE = 20_000


def main() -> None:
    """Fill an instance on SQLite with every event that three years leave, and time the function and the command."""
    root = Path(__file__).parents[1]
    last = datetime.now(UTC).date() - DAY
    days = [last - DAY * i for i in range(DAYS)]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "dagster.yaml").write_bytes((root / "dagster.yaml").read_bytes())
        stores = [{"provider": "aws", "id": f"{number:012}"} for number in range(STORES)]
        settings_file = home / "kubecost-pipelines.yaml"
        content = {"lake": "file:///nowhere", "start_date": str(days[-1]), "cloud_stores": stores}
        settings_file.write_text(yaml.safe_dump(content), encoding="utf-8")
        settings = load_settings(settings_file)
        assert settings is not None
        with dg.DagsterInstance.from_config(str(home)) as instance:
            count = _fill(instance, list(map(str, days)))
            print(f"{count:,} materialisations of {STORES} bills × {DAYS} days, {len(TABLES)} tables each, on SQLite")
            for _ in range(3):
                start, processor = time.perf_counter(), time.process_time()
                status = read_status(settings, instance, datetime.now(UTC))
                wall = time.perf_counter() - start
                processor = time.process_time() - processor
                print(f"read_status: {wall:.2f} s ({processor:.2f} s of the processor)")
                assert all(store.cloud_usage.progress == 1 for store in status.cloud.values())
        environment = {**os.environ, "KUBECOST_PIPELINES_CONFIG": str(settings_file), "DAGSTER_HOME": str(home)}
        start = time.perf_counter()
        command = [str(Path(sys.executable).parent / "kubecost-pipelines"), "status", "--json"]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
    verdict = "within" if seconds <= GOAL_SECONDS else "MISSED"
    print(
        f"kubecost-pipelines status --json, Python's start included: {seconds:.2f} s (goal {GOAL_SECONDS}: {verdict})"
    )
    sys.exit(seconds > GOAL_SECONDS)


def _fill(instance: dg.DagsterInstance, days: list[str]) -> int:
    """Record the last day through Dagster, and copy its row for every other day: a minute instead of hours."""
    storage: Any = instance.event_log_storage
    keys = [["connection_status", "aws", f"{number:012}"] for number in range(STORES)]
    for path in keys:
        instance.report_runless_asset_event(
            dg.AssetMaterialization(path, metadata={"status": "SUCCESSFUL_CONNECTION", "since": "2026-10-01"})
        )
    count = 0
    for table in TABLES:
        for number in range(STORES):
            key = dg.AssetKey([table, "aws", f"{number:012}"])
            instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=days[0]))
            with storage.index_connection() as connection:
                [row] = connection.execute(select(Events).where(Events.c.asset_key == key.to_string())).mappings().all()
                for rows in _batches(dict(row), days):
                    connection.execute(insert(Events), rows)
            count += len(days)
    return count


def _batches(row: dict[str, Any], days: list[str]) -> Iterator[list[dict[str, Any]]]:
    row.pop("id")
    copies = [{**row, "partition": day, "event": row["event"].replace(days[0], day)} for day in reversed(days[1:])]
    for start in range(0, len(copies), ROWS_AT_ONCE):
        yield copies[start : start + ROWS_AT_ONCE]


if __name__ == "__main__":
    main()
