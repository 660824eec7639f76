"""A year of one bill in one backfill run: `python -m benchmarks.backfill sqlite|postgres`.

The run part: Dagster's step over cloud_billing, reconciled_assets and cloud_assets of the demo's bill. Dagster's own
part is told by the same run with bodies that only record their days, with figures like ours: what is left when no work
is done. PostgreSQL is one of its own. Each is tried without Dagster's settings for events in batches, with the one that
we ship, and with both, in processes of their own, for Dagster reads them at import. It fails when a goal is missed: on
SQLite 60 s of run with both, on PostgreSQL 10 s of Dagster's own with both.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg

from kubecost_pipelines.core.window import DAY
from kubecost_pipelines.definitions import build_definitions
from kubecost_pipelines.demo.aws_bill import write_aws_bill
from kubecost_pipelines.settings import Settings
from kubecost_pipelines_tests.servers import serve_postgres

ACCOUNT, DAYS = "111122223333", 365
TABLES = ("cloud_billing", "reconciled_assets", "cloud_assets")
SHIPPED = {"DAGSTER_EVENT_BATCH_SIZE": "100"}
BATCHED = {**SHIPPED, "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "1"}
GOALS = {("sqlite", "work"): 60.0, ("postgres", "empty"): 10.0}
"""Seconds with both settings, by storage and by what is done."""


def main() -> None:
    """Measure on one storage, or be the process that is measured."""
    if sys.argv[1] == "measured":
        _measure(Path(sys.argv[2]), is_empty=sys.argv[3] == "empty")
        return
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        root, home = Path(folder), Path(folder) / "home"
        home.mkdir()
        text = "telemetry: {enabled: false}\n"
        if sys.argv[1] == "postgres":
            port = running.enter_context(serve_postgres())
            url = f"postgresql+psycopg2://postgres:x@127.0.0.1:{port}/postgres"
            text += f"storage:\n  postgres:\n    postgres_url: {url}\n"
        (home / "dagster.yaml").write_text(text, encoding="utf-8")
        last = datetime.now(UTC).date() - DAY
        write_aws_bill(root / "cur", _days(), version=1, restated_day=last)
        missed = False
        for words, batching in (("one by one", {}), ("as shipped", SHIPPED), ("with both settings", BATCHED)):
            for work in ("work", "empty"):
                print(f"{sys.argv[1]}, events {words}, {work}: ", end="", flush=True)
                environment = {**os.environ, **batching, "DAGSTER_HOME": str(home)}
                command = [sys.executable, "-W", "ignore", "-m", "benchmarks.backfill", "measured", folder, work]
                measured = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                if measured.returncode:
                    sys.exit(measured.stderr)
                goal = GOALS.get((sys.argv[1], work)) if batching is BATCHED else None
                is_missed = goal is not None and float(measured.stdout.split()[0]) > goal
                missed |= is_missed
                print(measured.stdout.strip(), f"(goal {goal:g} s: {'MISSED' if is_missed else 'met'})" if goal else "")
    sys.exit(missed)


def _days() -> list[date]:
    last = datetime.now(UTC).date() - DAY
    return [last - DAY * i for i in range(DAYS - 1, -1, -1)]


def _measure(root: Path, *, is_empty: bool) -> None:
    days = _days()
    store = {"provider": "aws", "id": ACCOUNT, "export": (root / "cur").as_uri()}
    settings = Settings.model_validate(
        {"lake": (root / "lake").as_uri(), "start_date": str(days[0]), "cloud_stores": [store]}
    )
    definitions = build_definitions(settings)
    assets = [asset for asset in definitions.assets or [] if isinstance(asset, dg.AssetsDefinition)]
    selection = [dg.AssetKey([table, "aws", ACCOUNT]) for table in TABLES]
    if is_empty:
        assets = [_empty(asset) for asset in assets if asset.key in selection]
    range_of_days = {
        "dagster/asset_partition_range_start": str(days[0]),
        "dagster/asset_partition_range_end": str(days[-1]),
    }
    with dg.DagsterInstance.get() as instance:
        start, processor = time.perf_counter(), time.process_time()
        result = dg.materialize(
            assets, instance=instance, resources=definitions.resources, selection=selection, tags=range_of_days
        )
        seconds, processor = time.perf_counter() - start, time.process_time() - processor
        found = instance.get_run_step_stats(result.run_id)
        steps = sum((step.end_time or 0) - (step.start_time or 0) for step in found)
        there = sum(len(instance.get_materialized_partitions(key)) for key in selection)
    assert there == DAYS * len(TABLES), there
    print(f"{seconds:.1f} s, steps {steps:.1f} s, processor {processor:.1f} s; {DAYS} days × {len(TABLES)} assets")


def _empty(asset: dg.AssetsDefinition) -> dg.AssetsDefinition:
    """Return an asset of that key whose body does nothing but record its days."""

    @dg.asset(key=asset.key, partitions_def=asset.partitions_def, backfill_policy=dg.BackfillPolicy.single_run())
    def empty(context: dg.AssetExecutionContext) -> None:
        for day in context.partition_keys:
            context.add_asset_metadata(
                {"dagster/partition_row_count": 1, "state": "settled", "Σ billed_cost": 1.0, "Σ effective_cost": 1.0},
                partition_key=day,
            )

    return empty


if __name__ == "__main__":
    main()
