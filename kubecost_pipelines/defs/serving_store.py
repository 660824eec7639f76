"""serving_store: the lake in one DuckDB file, which the HTTP API asks. It can be deleted at any time."""

import dagster as dg

from kubecost_pipelines.core.serving import ALLOCATIONS, ASSETS, CLOUD_COSTS, CONNECTIONS, OUT_OF_CLUSTER
from kubecost_pipelines.core.tables import ASSET_COSTS, CLOUD_ASSETS, CLOUD_BILLING, RECONCILED_ALLOCATIONS
from kubecost_pipelines.defs.automation import follows_its_sources
from kubecost_pipelines.defs.describing import CODE_VERSION
from kubecost_pipelines.defs.keys import asset_key
from kubecost_pipelines.defs.reporting import Materialized
from kubecost_pipelines.defs.workbench import Workbench
from kubecost_pipelines.serving.reader import store_folder
from kubecost_pipelines.serving.store import refresh
from kubecost_pipelines.settings import Settings
from kubecost_pipelines.settings.locations import locate

_SCHEMA = dg.TableSchema(
    [
        dg.TableColumn(ALLOCATIONS, "table", "reconciled_allocations; where a day has none yet, allocations"),
        dg.TableColumn(ASSETS, "table", "asset_costs"),
        dg.TableColumn(CLOUD_COSTS, "table", "cloud_billing, its decimals as float64"),
        dg.TableColumn(OUT_OF_CLUSTER, "table", "cloud_assets, likewise"),
        dg.TableColumn(CONNECTIONS, "table", "connection_status"),
    ]
)
"""The tables of the file, as its columns."""


def build_serving_store(settings: Settings) -> dg.AssetsDefinition:
    """Build the asset that brings the store in step with the lake; `serve` does the same while it runs."""
    deps = [
        asset_key(ASSET_COSTS),
        *(
            asset_key(table, *store.key.parts)
            for store in settings.cloud_stores
            for table, is_on in (
                (CLOUD_BILLING, settings.reads_bill_of(store)),
                (CLOUD_ASSETS, settings.runs("cloud_assets", store)),
            )
            if is_on
        ),
        *(
            asset_key(RECONCILED_ALLOCATIONS, cluster.name)
            for cluster in settings.clusters
            if settings.runs("allocations", cluster)
        ),
    ]

    @dg.asset(
        key=["serving_store"],
        deps=deps,
        description="A read-only DuckDB file made from the lake, with sums per day and month, for the HTTP API. Days "
        "whose lake files changed are replaced, and the file is swapped under its readers.",
        group_name="costs",
        kinds={"duckdb"},
        owners=list(settings.owners),
        metadata={"dagster/column_schema": _SCHEMA},
        backfill_policy=dg.BackfillPolicy.single_run(),
        # Beside a lake that is not local, the file would be one of the run's own: `serve` makes its own there.
        automation_condition=follows_its_sources() if settings.lake.startswith("file://") else None,
        code_version=CODE_VERSION,
    )
    def serving_store(workbench: dg.ResourceParam[Workbench]) -> Materialized:
        lake = workbench.settings.lake
        folder = store_folder(lake, workbench.settings.scratch)
        done = refresh(locate(lake), folder, workbench.settings.label_keys)
        return dg.MaterializeResult(
            metadata={
                "days_replaced": done.days if done else 0,
                "file": str(done.path if done else folder),
                "bytes": done.path.stat().st_size if done else 0,
            }
        )

    return serving_store
