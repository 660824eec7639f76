"""Status: the object of Kubecost's `/model/etl/status`, from what Dagster's instance has recorded.

Coverage is what Dagster knows as materialised, the same wherever the lake lies. (A listing of the lake would see a
deleted file at once, but takes a hundred requests per table on an object store; the sensors and schedules compare both,
and heal.) Nothing of the settings but names, switches and rates gets in: no secret can.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from kubecost_pipelines.core.connection_status import CURES, ConnectionStatus
from kubecost_pipelines.core.tables import (
    ALLOCATIONS,
    ASSET_COSTS,
    CLOUD_ASSETS,
    CONNECTION_STATUS,
    IN_CLUSTER_ASSETS,
    RECONCILED_ALLOCATIONS_HOURLY,
    RECONCILED_ASSETS,
    Table,
)
from kubecost_pipelines.core.window import DAY, Window, midnight
from kubecost_pipelines.defs.keys import asset_key
from kubecost_pipelines.operations.errors import NoDagsterError
from kubecost_pipelines.settings import CloudStoreSettings, ClusterSettings, Process, Settings

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class ProcessStatus:
    """How one process stands. `coverage` and `progress` are over the days from `start_date` to yesterday.

    Of hours they are over the days from the first that has some: a cluster keeps its hours for a few days only.
    """

    is_off: bool = False
    coverage: Window | None = None
    """From the first day that is there to the last; `gaps` says what is missing."""
    days: int = 0
    """Days that are there."""
    expected: int = 0
    gaps: Sequence[Window] = ()
    last_run: datetime | None = None
    next_run: datetime | None = None
    refresh_rate: timedelta | None = None
    start_time: datetime | None = None
    """When its sensor or schedule was switched on."""
    resolution: timedelta = DAY

    @property
    def progress(self) -> float:
        """Days that are there, of those that should be: 0 to 1."""
        return self.days / self.expected if self.expected else 1.0

    def to_json(self) -> dict[str, Any]:
        """Return the object as Kubecost names its fields."""
        if self.is_off:
            return {"off": True}
        return {
            "coverage": _as_json(self.coverage),
            "lastRun": _iso(self.last_run),
            "nextRun": _iso(self.next_run),
            "progress": round(self.progress, 4),
            "refreshRate": _duration(self.refresh_rate),
            "resolution": _duration(self.resolution),
            "startTime": _iso(self.start_time),
            "gaps": [_as_json(gap) for gap in self.gaps],
        }


@dataclass(frozen=True)
class StoreStatus:
    """One bill: whether it can be reached, and both of its processes."""

    title: str
    provider: str
    connection: ConnectionStatus
    since: str
    cure: str
    cloud_usage: ProcessStatus
    reconciliation: ProcessStatus

    def to_json(self) -> dict[str, Any]:
        return {
            "cloudConnectionStatus": self.connection.value,
            "since": self.since,
            "cure": self.cure,
            "providerType": self.provider,
            "cloudUsage": self.cloud_usage.to_json(),
            "reconciliation": self.reconciliation.to_json(),
        }


@dataclass(frozen=True)
class ClusterStatus:
    """One cluster: what was collected of it."""

    assets: ProcessStatus
    allocations: ProcessStatus
    hours: ProcessStatus
    """Workload costs by the hour, which are off unless the cluster has `step: 1h`."""
    export: ProcessStatus
    is_fresh: bool
    """Whether yesterday's assets are there."""

    def to_json(self) -> dict[str, Any]:
        return {
            "fresh": self.is_fresh,
            "assets": self.assets.to_json(),
            "allocations": self.allocations.to_json(),
            "hours": self.hours.to_json(),
            "export": self.export.to_json(),
        }


@dataclass(frozen=True)
class Status:
    """Everything: workload costs, the Daily Asset Store, each bill, each cluster."""

    allocation: ProcessStatus
    assets: ProcessStatus
    cloud: Mapping[str, StoreStatus] = field(default_factory=dict)
    """ProviderKey -> its bill."""
    clusters: Mapping[str, ClusterStatus] = field(default_factory=dict)
    utc_offset: str = "+00:00"

    def to_json(self) -> dict[str, Any]:
        """Return the object of `/model/etl/status`; `clusters` and `gaps` are ours besides."""
        return {
            "allocation": {**self.allocation.to_json(), "utcOffset": self.utc_offset},
            "assets": {**self.assets.to_json(), "utcOffset": self.utc_offset},
            "cloud": {key: store.to_json() for key, store in self.cloud.items()},
            "clusters": {name: cluster.to_json() for name, cluster in self.clusters.items()},
        }


def current_status(settings: Settings, now: datetime) -> Status:
    """Return how a deployment stands at `now`, by the instance that DAGSTER_HOME names.

    Raises:
        NoDagsterError: it names none, so that nothing is recorded anywhere.
    """
    if not os.environ.get("DAGSTER_HOME"):
        raise NoDagsterError(
            "no Dagster is named: let DAGSTER_HOME name the folder with your deployment's dagster.yaml."
        )
    with dg.DagsterInstance.get() as instance:
        return read_status(settings, instance, now)


def read_status(settings: Settings, instance: dg.DagsterInstance, now: datetime) -> Status:
    """Return how a deployment stands at `now`, by what its instance has recorded.

    Args:
        settings: the deployment.
        instance: its Dagster instance, on any storage.
        now: an aware time.
    """
    known = _Recorded(settings, instance, now)
    clusters = {cluster.name: _cluster(known, cluster) for cluster in settings.clusters}
    on = [one.allocations for one in clusters.values() if not one.allocations.is_off]
    return Status(
        allocation=_together(on) if settings.runs("allocations") else ProcessStatus(is_off=True),
        assets=known.process(asset_key(ASSET_COSTS), "settle"),
        cloud={str(store.key): _store(known, store) for store in settings.cloud_stores},
        clusters=clusters,
        utc_offset=settings.utc_offset,
    )


def _store(known: "_Recorded", store: CloudStoreSettings) -> StoreStatus:
    sensor = f"bill_changes_{store.key.slug}"

    def process(name: Process, table: Table) -> ProcessStatus:
        if not known.settings.runs(name, store):
            return ProcessStatus(is_off=True)
        return known.process(asset_key(table, *store.key.parts), sensor, known.settings.refresh_every)

    found = known.metadata(asset_key(CONNECTION_STATUS, *store.key.parts))
    connection = ConnectionStatus(str(found.get("status", ConnectionStatus.INITIAL_STATUS)))
    return StoreStatus(
        title=store.title,
        provider=store.provider,
        connection=connection,
        since=str(found.get("since", "")),
        cure=CURES[connection],
        cloud_usage=process("cloud_assets", CLOUD_ASSETS),
        reconciliation=process("reconciliation", RECONCILED_ASSETS),
    )


def _cluster(known: "_Recorded", cluster: ClusterSettings) -> ClusterStatus:
    schedule = f"collect_{cluster.slug}"
    assets = known.process(asset_key(IN_CLUSTER_ASSETS, cluster.name), schedule, DAY)
    allocations = hours = export = ProcessStatus(is_off=True)
    if known.settings.runs("allocations", cluster):
        allocations = known.process(asset_key(ALLOCATIONS, cluster.name), schedule, DAY)
    if known.settings.has_hours(cluster):
        hours = known.hours(asset_key(RECONCILED_ALLOCATIONS_HOURLY, cluster.name), schedule)
    if known.settings.export and known.settings.runs("export", cluster):
        export = known.process(_export_key(cluster), f"export_gaps_{cluster.slug}", DAY / 4)
    yesterday = midnight(known.days[-1]) if known.days else None
    is_fresh = bool(assets.coverage and yesterday and assets.coverage.end > yesterday)
    return ClusterStatus(assets, allocations, hours, export, is_fresh)


class _Recorded:
    """What the instance knows of our assets, sensors and schedules, asked for in as few queries as it takes."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance, now: datetime) -> None:
        self.settings = settings
        self.now = now
        last = now.astimezone(UTC).date() - DAY
        self.days = Window.of_days(settings.start_date, last).days if settings.start_date <= last else []
        self._expected = set(self.days)
        self._instance = instance
        keys = _keys(settings)
        self._spans = _spans(instance, keys, self.days) if self.days else {}
        self._records = {
            record.asset_entry.asset_key: record.asset_entry for record in instance.get_asset_records(keys)
        }
        states = instance.all_instigator_state() if instance.schedule_storage else []
        self._instigators = {state.instigator_name: state for state in states}

    def metadata(self, key: dg.AssetKey) -> dict[str, Any]:
        """Return the metadata of the asset's last materialisation."""
        entry = self._records.get(key)
        event = entry.last_materialization if entry else None
        found = event.asset_materialization.metadata if event and event.asset_materialization else {}
        return {name: value.value for name, value in found.items()}

    def process(self, key: dg.AssetKey, instigator: str, refresh_rate: timedelta = DAY) -> ProcessStatus:
        entry = self._records.get(key)
        event = entry.last_materialization if entry else None
        there = self._there(key, entry) if entry and event else []
        return ProcessStatus(
            coverage=Window.of_days(there[0], there[-1]) if there else None,
            days=len(there),
            expected=len(self.days),
            gaps=list(_gaps(self.days, set(there))),
            last_run=datetime.fromtimestamp(event.timestamp, UTC) if event else None,
            next_run=self._next_run(instigator, refresh_rate),
            refresh_rate=refresh_rate,
            start_time=self._start_time(instigator),
        )

    def hours(self, key: dg.AssetKey, instigator: str) -> ProcessStatus:
        found = self.process(key, instigator)
        if not found.coverage:
            return replace(found, resolution=HOUR)
        first = found.coverage.start
        gaps = [gap for gap in found.gaps if gap.start >= first]
        return replace(
            found, expected=len(Window(first, midnight(self.days[-1] + DAY)).days), gaps=gaps, resolution=HOUR
        )

    def _there(self, key: dg.AssetKey, entry: Any) -> list[date]:
        first, last, count = self._spans.get(key, (None, None, 0))
        is_wiped = bool(entry.asset_details and entry.asset_details.last_wipe_timestamp)
        if first and last and count == (last - first).days + 1 and not is_wiped:
            return Window.of_days(first, last).days
        found = map(date.fromisoformat, self._instance.get_materialized_partitions(key))
        return sorted(self._expected.intersection(found))

    def _next_run(self, name: str, refresh_rate: timedelta) -> datetime | None:
        state = self._instigators.get(name)
        data = state.instigator_data if state and state.is_running else None
        if cron := getattr(data, "cron_schedule", None):
            from dagster._utils.schedules import get_next_cron_tick  # noqa: PLC0415 - Dagster has no public one

            return get_next_cron_tick(cron if isinstance(cron, str) else cron[0], self.now, "UTC").astimezone(UTC)
        asked = _last_question(getattr(data, "cursor", None) or "")
        return max(asked + refresh_rate, self.now) if asked else None

    def _start_time(self, name: str) -> datetime | None:
        state = self._instigators.get(name)
        data = state.instigator_data if state and state.is_running else None
        started = getattr(data, "last_sensor_start_timestamp", None) or getattr(data, "start_timestamp", None)
        return datetime.fromtimestamp(started, UTC) if started else None


def _keys(settings: Settings) -> list[dg.AssetKey]:
    per_store = (CONNECTION_STATUS, CLOUD_ASSETS, RECONCILED_ASSETS)
    per_cluster = (IN_CLUSTER_ASSETS, ALLOCATIONS, RECONCILED_ALLOCATIONS_HOURLY)
    return [
        asset_key(ASSET_COSTS),
        *(asset_key(table, *store.key.parts) for store in settings.cloud_stores for table in per_store),
        *(asset_key(table, cluster.name) for cluster in settings.clusters for table in per_cluster),
        *(_export_key(cluster) for cluster in settings.clusters if settings.export),
    ]


def _export_key(cluster: ClusterSettings) -> dg.AssetKey:
    from kubecost_pipelines.core.exports.tables import ALLOCATION_EXPORT  # noqa: PLC0415 - loads Arrow

    return asset_key(ALLOCATION_EXPORT, cluster.name)


def _spans(
    instance: dg.DagsterInstance, keys: Sequence[dg.AssetKey], days: Sequence[date]
) -> dict[dg.AssetKey, tuple[date, date, int]]:
    """Return, per asset, the first and last of `days` that are there and how many are, in one query of the index.

    Dagster's own call is one query per asset that returns every day: two seconds for a hundred bills and three years.
    Where nothing is missing between the first and the last, and that is nearly everywhere, this tells as much.
    """
    from dagster._core.storage.event_log import SqlEventLogStorage  # noqa: PLC0415 - Dagster has no public one
    from dagster._core.storage.event_log.schema import SqlEventLogStorageTable  # noqa: PLC0415 - as above
    from sqlalchemy import func, select  # noqa: PLC0415 - as above

    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return {}
    events = SqlEventLogStorageTable.c
    query = (
        select(
            events.asset_key,
            func.min(events.partition),
            func.max(events.partition),
            func.count(events.partition.distinct()),
        )
        .where(
            events.asset_key.in_([key.to_string() for key in keys]),
            events.dagster_event_type == dg.DagsterEventType.ASSET_MATERIALIZATION.value,
            events.partition.between(str(days[0]), str(days[-1])),
        )
        .group_by(events.asset_key)
    )
    with storage.index_connection() as connection:
        rows = connection.execute(query).fetchall()
    spans = {}
    for text, first, last, count in rows:
        if key := dg.AssetKey.from_db_string(text):
            spans[key] = (date.fromisoformat(first), date.fromisoformat(last), count)
    return spans


def _last_question(cursor: str) -> datetime | None:
    """Return when a bill's sensor last asked, by the times that its cursor keeps."""
    return max(map(datetime.fromisoformat, re.findall(r'"asked": "([^"]+)"', cursor)), default=None)


def _gaps(days: Sequence[date], there: set[date]) -> Iterable[Window]:
    """Yield what is missing, as windows without a day that is there."""
    start: date | None = None
    for day in days:
        if day in there and start:
            yield Window.of_days(start, day - DAY)
        start = None if day in there else (start or day)
    if start:
        yield Window.of_days(start, days[-1])


def _together(all_of: Sequence[ProcessStatus]) -> ProcessStatus:
    """Return several processes as one: what any covers, and how far all are."""
    coverages = [one.coverage for one in all_of if one.coverage]
    return ProcessStatus(
        coverage=Window(min(c.start for c in coverages), max(c.end for c in coverages)) if coverages else None,
        days=sum(one.days for one in all_of),
        expected=sum(one.expected for one in all_of),
        gaps=sorted({gap for one in all_of for gap in one.gaps}),
        last_run=max((one.last_run for one in all_of if one.last_run), default=None),
        next_run=min((one.next_run for one in all_of if one.next_run), default=None),
        refresh_rate=DAY,
        start_time=min((one.start_time for one in all_of if one.start_time), default=None),
    )


def _as_json(window: Window | None) -> dict[str, str | None]:
    return {"start": _iso(window.start if window else None), "end": _iso(window.end if window else None)}


def _iso(time: datetime | None) -> str | None:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if time else None


def _duration(length: timedelta | None) -> str | None:
    """Return a duration as Go writes it: `6h0m0s`."""
    if length is None:
        return None
    minutes, seconds = divmod(int(length.total_seconds()), 60)
    return f"{minutes // 60}h{minutes % 60}m{seconds}s"
