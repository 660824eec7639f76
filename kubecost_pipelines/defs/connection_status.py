"""connection_status: whether each bill can be reached and has data, since when, and what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import dagster as dg
import ibis

from kubecost_pipelines.clouds import Connection, check_connection
from kubecost_pipelines.core.connection_status import CURES, ConnectionEvent, ConnectionStatus, next_status
from kubecost_pipelines.core.tables import CONNECTION_STATUS
from kubecost_pipelines.defs.describing import CODE_VERSION, column_schema, of_bill
from kubecost_pipelines.defs.keys import asset_key
from kubecost_pipelines.defs.reporting import Materialized
from kubecost_pipelines.defs.workbench import Tools, Workbench
from kubecost_pipelines.settings import CloudStoreSettings, Settings

CHECK = "connection_is_successful"
UNREACHABLE = (ConnectionStatus.FAILED_CONNECTION, ConnectionStatus.INCOMPLETE_CONFIGURATION)
CURE = (
    "No bill is configured. Write kubecost-pipelines.yaml (docs/settings.md) or let KUBECOST_PIPELINES_CONFIG name "
    "yours, with at least one entry in `cloud_stores`, then reload the code location."
)


def build_connection_status(settings: Settings, store: CloudStoreSettings) -> dg.AssetsDefinition:
    """Build the asset that checks one store. It records what is wrong and never fails, so that nothing waits for it."""
    key = asset_key(CONNECTION_STATUS, *store.key.parts)
    place = of_bill(store)

    @dg.asset(
        key=key,
        description=f"{store.title}\n\n{CONNECTION_STATUS.description}",
        group_name=place["group"],
        tags=place["tags"],
        kinds={store.provider},
        owners=list(settings.owners),
        metadata={"dagster/column_schema": column_schema(CONNECTION_STATUS, settings)},
        backfill_policy=dg.BackfillPolicy.single_run(),
        code_version=CODE_VERSION,
        check_specs=[dg.AssetCheckSpec(CHECK, asset=key, description="The bill can be reached and has data.")],
    )
    def connection_status(context: dg.AssetExecutionContext, workbench: dg.ResourceParam[Workbench]) -> Materialized:
        with workbench.open() as tools:
            row = _check(tools, store, _last_known(context.instance, store))
            _keep(tools, store, row)
            return dg.MaterializeResult(metadata=_as_metadata(store, row), check_results=[_as_check(row)])

    return connection_status


@dataclass(frozen=True)
class Found:
    """What looking at a bill outside of a run found: a row of `connection_status`, and the one before it."""

    row: Mapping[str, Any]
    last: Mapping[str, str]

    @property
    def is_reachable(self) -> bool:
        return self.row["status"] not in UNREACHABLE

    @property
    def words(self) -> str:
        return _as_check(self.row).description or ""


def look_at(tools: Tools, store: CloudStoreSettings, instance: dg.DagsterInstance) -> Found:
    """Check a store as a run would. Nothing is recorded before `report`."""
    last = _last_known(instance, store)
    return Found(_check(tools, store, last), last)


def find_unreadable(tools: Tools, store: CloudStoreSettings, found: Found, error: str) -> Found:
    """Return what was found of a bill that answered, and then could not be read."""
    return replace(found, row=_row(tools, store, found.last, Connection(ConnectionEvent.ERROR, error)))


def report(tools: Tools, store: CloudStoreSettings, instance: dg.DagsterInstance, found: Found) -> None:
    """Record what was found, as a run would; the same words as last time only after `refresh_hours`."""
    row, last = found.row, found.last
    is_same = (row["status"], row["detail"]) == (last.get("status"), last.get("detail"))
    if is_same and tools.now - datetime.fromisoformat(last["checked_at"]) < tools.settings.refresh_every:
        return
    _keep(tools, store, row)
    key, check = asset_key(CONNECTION_STATUS, *store.key.parts), _as_check(row)
    instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata=_as_metadata(store, row)))
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=CHECK,
            passed=check.passed,
            metadata=check.metadata,
            description=check.description,
        )
    )


def build_missing_configuration() -> dg.AssetsDefinition:
    """Build the one status of a deployment that no bill is configured for."""
    status = ConnectionStatus.MISSING_CONFIGURATION

    @dg.asset(
        key=[CONNECTION_STATUS.name],
        description=f"{status}\n\n{CURE}",
        group_name="setup",
        owners=["team:finops"],
        metadata={"status": status.value, "cure": CURE},
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[dg.AssetCheckSpec(CHECK, asset=[CONNECTION_STATUS.name], description=CURE)],
    )
    def connection_status() -> Materialized:
        found = {"status": status.value, "cure": CURE}
        return dg.MaterializeResult(metadata=found, check_results=[_as_check({"detail": "no bill", **found})])

    return connection_status


def _check(tools: Tools, store: CloudStoreSettings, last: Mapping[str, str]) -> dict[str, Any]:
    return _row(tools, store, last, check_connection(store, tools.now.date(), tools.scratch))


def _row(tools: Tools, store: CloudStoreSettings, last: Mapping[str, str], connection: Connection) -> dict[str, Any]:
    current = ConnectionStatus(last.get("status", ConnectionStatus.INITIAL_STATUS))
    status = next_status(current, connection.event)
    return {
        "provider_key": str(store.key),
        "status": status.value,
        "since": datetime.fromisoformat(last["since"]) if status is current and "since" in last else tools.now,
        "checked_at": tools.now,
        "detail": connection.detail,
        "cure": CURES[status],
    }


def _last_known(instance: dg.DagsterInstance, store: CloudStoreSettings) -> dict[str, str]:
    """Return what the last check recorded; nothing before the first one."""
    event = instance.get_latest_materialization_event(asset_key(CONNECTION_STATUS, *store.key.parts))
    found = event.asset_materialization.metadata if event and event.asset_materialization else {}
    return {name: str(value.value) for name, value in found.items()} if "status" in found else {}


def _as_metadata(store: CloudStoreSettings, row: Mapping[str, Any]) -> dict[str, str]:
    return {"bill": store.title, **{name: str(value) for name, value in row.items()}}


def _keep(tools: Tools, store: CloudStoreSettings, row: Mapping[str, Any]) -> None:
    schema = ibis.schema({"date": "date", **CONNECTION_STATUS.schema()})
    table = ibis.memtable([{"date": tools.now.date(), **row}], schema=schema)
    staged = tools.lake.stage(CONNECTION_STATUS, table.mutate(date=table.date), tools.engine)
    tools.lake.publish(staged, store.key.parts, [tools.now.date()])


def _as_check(row: Mapping[str, Any]) -> dg.AssetCheckResult:
    is_good = row["status"] == ConnectionStatus.SUCCESSFUL_CONNECTION
    words = f"{row['status']}: {row['detail'].removesuffix('.')}. {row['cure']}".strip()
    return dg.AssetCheckResult(check_name=CHECK, passed=is_good, description=words, metadata={"status": row["status"]})
