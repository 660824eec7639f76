"""Run the real graph in process, and see what Dagster recorded."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from kubecost_pipelines.definitions import build_definitions
from kubecost_pipelines.defs.workbench import Workbench
from kubecost_pipelines.settings import CloudStoreSettings, ClusterSettings, Settings

LATER = datetime(2026, 11, 24, tzinfo=UTC)
"""When the tests run their days: October is settled."""


@dataclass
class Recorded:
    """What one run left in the event log."""

    success: bool
    error: str
    description: str
    checks: dict[str, bool]
    check_metadata: dict[str, Any]
    materialized: dict[tuple[str, str], dict[str, Any]] = field(repr=False)
    """(asset, day) -> metadata."""


@dataclass
class Deployment:
    """A graph over a lake in a temporary folder; call it with the assets to materialise."""

    settings: Settings
    days: tuple[str, str]
    instance: dg.DagsterInstance
    clock: Callable[[], datetime]

    def __call__(self, *assets: str, days: tuple[str, str] | None = None) -> Recorded:
        first, last = days or self.days
        definitions = build_definitions(self.settings)
        result = dg.materialize(
            [asset for asset in definitions.assets or [] if isinstance(asset, dg.AssetsDefinition)],
            instance=self.instance,
            resources={"workbench": Workbench(self.settings, self.clock)},
            selection=[dg.AssetKey(asset.split("/")) for asset in assets] or None,
            tags={"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last},
            raise_on_error=False,
        )
        return _record(result)

    def last_check(self, asset: str, name: str) -> bool | None:
        """Return whether the check passed when it was last recorded."""
        key = dg.AssetCheckKey(dg.AssetKey(asset.split("/")), name)
        [record] = self.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        event = record.event and record.event.dagster_event
        return event.asset_check_evaluation_data.passed if event else None

    def materialized_days(self, asset: str) -> set[str]:
        return self.instance.get_materialized_partitions(dg.AssetKey(asset.split("/")))


def _record(result: dg.ExecuteInProcessResult) -> Recorded:
    failures = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    causes = [error.cause or error for error in failures if error]
    evaluations = result.get_asset_check_evaluations()
    materialized = {}
    for event in result.all_events:
        if event.is_step_materialization and event.asset_key:
            found = event.step_materialization_data.materialization
            values = {name: value.value for name, value in found.metadata.items()}
            materialized[event.asset_key.to_user_string(), found.partition or ""] = values
    checks: dict[str, bool] = {}
    check_metadata: dict[str, Any] = {}
    for one in sorted(evaluations, key=lambda one: not one.passed):  # of two assets with one check, a failure counts
        checks[one.check_name] = one.passed
        check_metadata[one.check_name] = {name: value.value for name, value in one.metadata.items()}
    return Recorded(
        result.success,
        "\n".join(cause.message for cause in causes),
        "\n".join(event.message or "" for event in result.all_events if event.is_step_failure),
        checks,
        check_metadata,
        materialized,
    )


@contextmanager
def deploy(
    folder: Path,
    cloud_stores: Sequence[CloudStoreSettings] = (),
    clusters: Sequence[ClusterSettings] = (),
    days: tuple[str, str] = ("2026-10-05", "2026-10-05"),
    clock: Callable[[], datetime] = lambda: LATER,
    **settings: Any,
) -> Iterator[Deployment]:
    """Deploy stores and clusters over a lake in `folder`."""
    chosen: dict[str, Any] = {"lake": (folder / "lake").as_uri(), "start_date": "2026-10-01", **settings}
    deployment = Settings(cloud_stores=tuple(cloud_stores), clusters=tuple(clusters), **chosen)
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "yes")
    with dg.DagsterInstance.ephemeral() as instance:
        yield Deployment(deployment, days, instance, clock)
