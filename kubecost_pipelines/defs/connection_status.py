"""connection_status: whether each bill can be reached and has data, since when, and what to do about it."""

from datetime import datetime
from typing import Any

import dagster as dg
import ibis

from kubecost_pipelines.clouds import check_connection
from kubecost_pipelines.core.connection_status import CURES, ConnectionStatus, next_status
from kubecost_pipelines.core.tables import CONNECTION_STATUS
from kubecost_pipelines.defs.describing import CODE_VERSION, asset_key, column_schema, of_bill
from kubecost_pipelines.defs.reporting import Materialized
from kubecost_pipelines.defs.workbench import Tools, Workbench
from kubecost_pipelines.settings import CloudStoreSettings, Settings

CHECK = "connection_is_successful"
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
            row = _check(tools, store, _last_known(context))
            _keep(tools, store, row)
            return dg.MaterializeResult(
                metadata={"bill": store.title, **{name: str(value) for name, value in row.items()}},
                check_results=[_as_check(row)],
            )

    return connection_status


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


def _check(tools: Tools, store: CloudStoreSettings, last: tuple[ConnectionStatus, str]) -> dict[str, Any]:
    connection = check_connection(store, tools.now.date(), tools.scratch)
    current, since = last
    status = next_status(current, connection.event)
    return {
        "provider_key": str(store.key),
        "status": status.value,
        "since": datetime.fromisoformat(since) if status is current and since else tools.now,
        "checked_at": tools.now,
        "detail": connection.detail,
        "cure": CURES[status],
    }


def _last_known(context: dg.AssetExecutionContext) -> tuple[ConnectionStatus, str]:
    """Return the status of the last check and since when it holds."""
    event = context.instance.get_latest_materialization_event(context.asset_key)
    found = event.asset_materialization.metadata if event and event.asset_materialization else {}
    if "status" not in found:
        return ConnectionStatus.INITIAL_STATUS, ""
    return ConnectionStatus(str(found["status"].value)), str(found["since"].value)


def _keep(tools: Tools, store: CloudStoreSettings, row: dict[str, Any]) -> None:
    schema = ibis.schema({"date": "date", **CONNECTION_STATUS.schema()})
    table = ibis.memtable([{"date": tools.now.date(), **row}], schema=schema)
    staged = tools.lake.stage(CONNECTION_STATUS, table.mutate(date=table.date), tools.engine)
    tools.lake.publish(staged, store.key.parts, [tools.now.date()])


def _as_check(row: dict[str, Any]) -> dg.AssetCheckResult:
    is_good = row["status"] == ConnectionStatus.SUCCESSFUL_CONNECTION
    words = f"{row['status']}: {row['detail']}. {row['cure']}".strip()
    return dg.AssetCheckResult(check_name=CHECK, passed=is_good, description=words, metadata={"status": row["status"]})
