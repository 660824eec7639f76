"""A deployment that runs by itself, one step at a time: real ticks, real automation, real runs, and a clock we move."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

from kubecost_pipelines.core.bill_changes import consecutive
from kubecost_pipelines.definitions import build_definitions
from kubecost_pipelines.defs.requests import range_tags
from kubecost_pipelines.defs.workbench import Workbench
from kubecost_pipelines.settings import CloudStoreSettings, ClusterSettings, Settings

ROUNDS_AT_MOST = 12
DEPTHS = {
    "cloud_billing": 3,
    "restatements": 3,
    "reconciled_assets": 3,
    "cloud_assets": 3,
    "in_cluster_assets": 2,
    "allocations": 2,
    "reconciled_allocations": 2,
    "asset_inventory": 1,
    "asset_costs": 1,
}


@dataclass(frozen=True)
class Ran:
    """One run: the assets, the first and the last day, and whether it succeeded."""

    assets: tuple[str, ...]
    first: str
    last: str
    success: bool


@dataclass
class Living:
    """A graph with its sensors, schedules and automation; nothing happens until a method is called."""

    settings: Settings
    instance: dg.DagsterInstance
    now: datetime
    cursors: dict[str, str | None] = field(default_factory=dict)
    run_keys: set[str] = field(default_factory=set)
    automation_cursor: Any = None

    def __post_init__(self) -> None:
        self.reload(self.settings)

    def reload(self, settings: Settings) -> None:
        self.settings = settings
        self.definitions = build_definitions(settings)
        self.workbench = Workbench(settings, lambda: self.now)

    def at(self, day: str, hour: int = 12) -> "Living":
        """Move the clock."""
        self.now = datetime.combine(date.fromisoformat(day), time(hour), UTC)
        return self

    def tick(self, name: str) -> tuple[list[Ran], str]:
        """Evaluate a sensor as the daemon does, and run what it requests; return the runs and why it skipped."""
        sensor = self.definitions.resolve_sensor_def(name)
        with dg.build_sensor_context(
            self.instance,
            self.cursors.get(name),
            definitions=self.definitions,
            resources={"workbench": self.workbench},
            sensor_name=name,
        ) as context:
            ticked = sensor.evaluate_tick(context)
        self.cursors[name] = ticked.cursor
        ran = [self._launch(request) for request in ticked.run_requests or [] if self._is_new(request)]
        return ran, ticked.skip_message or ""

    def strike(self, name: str) -> list[Ran]:
        """Evaluate a schedule at the current time, and run what it requests."""
        schedule = self.definitions.resolve_schedule_def(name)
        with dg.build_schedule_context(
            self.instance,
            scheduled_execution_time=self.now,
            resources={"workbench": self.workbench},
            repository_def=self.definitions.get_repository_def(),
        ) as context:
            requests = schedule.evaluate_tick(context).run_requests or []
        return [self._launch(request) for request in requests]

    def follow(self) -> list[Ran]:
        """Evaluate the automation and run what it requests, again and again until it requests nothing."""
        ran: list[Ran] = []
        for _ in range(ROUNDS_AT_MOST):
            found = dg.evaluate_automation_conditions(self.definitions, self.instance, cursor=self.automation_cursor)
            self.automation_cursor = found.cursor
            by_days: dict[tuple[date, ...], list[dg.AssetKey]] = {}
            for asset in self.definitions.assets or []:
                assert isinstance(asset, dg.AssetsDefinition)
                requested = found.get_requested_partitions(asset.key)
                runs = consecutive([date.fromisoformat(day) for day in requested if day])
                for run in [()] if None in requested else runs:
                    by_days.setdefault(tuple(run), []).append(asset.key)
            if not by_days:
                return ran
            ran += [self._run(keys, range_tags(days) if days else {}) for days, keys in by_days.items()]
        raise AssertionError(f"the automation does not come to rest: {ran}")

    def materialize(self, *assets: str, days: tuple[str, str]) -> Ran:
        """Launch a run by hand."""
        return self._run(
            [dg.AssetKey(asset.split("/")) for asset in assets], range_tags(list(map(date.fromisoformat, days)))
        )

    def _is_new(self, request: dg.RunRequest) -> bool:
        is_new = request.run_key not in self.run_keys
        self.run_keys.add(request.run_key or "")
        return is_new

    def _launch(self, request: dg.RunRequest) -> Ran:
        return self._run(request.asset_selection or [], request.tags)

    def _run(self, keys: Sequence[dg.AssetKey], tags: Any) -> Ran:
        result = dg.materialize(
            [asset for asset in self.definitions.assets or [] if isinstance(asset, dg.AssetsDefinition)],
            instance=self.instance,
            resources={"workbench": self.workbench},
            selection=list(keys),
            tags=tags,
            raise_on_error=False,
        )
        names = tuple(sorted(key.to_user_string() for key in keys))
        first, last = (tags.get(f"dagster/asset_partition_range_{end}", "") for end in ("start", "end"))
        return Ran(names, first, last, result.success)

    def metadata(self, asset: str, day: str) -> dict[str, Any]:
        """Return what the last materialisation of that day says."""
        key = dg.AssetKey(asset.split("/"))
        records = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=key, asset_partitions=[day]), limit=1
        ).records
        found = records[0].asset_materialization
        assert found
        return {name: value.value for name, value in found.metadata.items()}

    def last_check(self, asset: str, name: str) -> bool | None:
        """Return whether the check passed when it was last recorded."""
        key = dg.AssetCheckKey(dg.AssetKey(asset.split("/")), name)
        [record] = self.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        event = record.event and record.event.dagster_event
        return event.asset_check_evaluation_data.passed if event else None

    def path(self, *parts: str) -> Path:
        return Path(self.settings.lake.removeprefix("file://"), *parts)


def rows_of(lake: str | Path, table: str, columns: str = "*", *, without: str = "") -> list[tuple[Any, ...]]:
    """Return every row of a table of a lake, sorted; none when there is no file."""
    files = f"{str(lake).removeprefix('file://')}/{table}/{'*/' * DEPTHS[table]}data.parquet"
    with duckdb.connect() as engine:
        if not engine.execute(f"SELECT count(*) FROM glob('{files}')").fetchall()[0][0]:
            return []
        source = f"read_parquet('{files}', hive_partitioning = true, union_by_name = true)"
        exclude = f" EXCLUDE ({without})" if without else ""
        return engine.execute(f"SELECT {columns}{exclude} FROM {source} ORDER BY ALL").fetchall()


@contextmanager
def live(
    folder: Path,
    stores: Sequence[CloudStoreSettings],
    clusters: Sequence[ClusterSettings] = (),
    now: str = "2026-10-08",
    **settings: Any,
) -> Iterator[Living]:
    """Start a deployment in `folder` that does nothing by itself until it is told to."""
    chosen: dict[str, Any] = {"lake": (folder / "lake").as_uri(), "start_date": "2026-10-01", **settings}
    deployment = Settings(cloud_stores=tuple(stores), clusters=tuple(clusters), **chosen)
    (folder / "dagster_home").mkdir()
    # Not an ephemeral one: the context of a schedule takes none.
    with dg.DagsterInstance.local_temp(str(folder / "dagster_home")) as instance:
        yield Living(deployment, instance, datetime.fromisoformat(f"{now}T12:00:00+00:00"))
