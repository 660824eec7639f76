"""Wiring: settings to Dagster definitions. Nothing is read until Dagster asks."""

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import dagster as dg

from kubecost_pipelines.defs.allocation_export import build_allocation_export
from kubecost_pipelines.defs.asset_costs import build_asset_costs
from kubecost_pipelines.defs.asset_inventory import build_asset_inventory
from kubecost_pipelines.defs.automation import build_automation
from kubecost_pipelines.defs.bill_sensor import build_bill_sensor
from kubecost_pipelines.defs.cloud_billing import build_cloud_billing
from kubecost_pipelines.defs.connection_status import build_connection_status, build_missing_configuration
from kubecost_pipelines.defs.export_schedule import build_export_schedule
from kubecost_pipelines.defs.external_costs import build_external_costs
from kubecost_pipelines.defs.glue_partitions import build_glue_partitions
from kubecost_pipelines.defs.in_cluster import build_allocations, build_allocations_hourly, build_in_cluster_assets
from kubecost_pipelines.defs.reconciled_allocations import build_reconciled_allocations
from kubecost_pipelines.defs.reconciled_allocations_hourly import build_reconciled_allocations_hourly
from kubecost_pipelines.defs.reconciliation import build_cloud_assets, build_reconciled_assets
from kubecost_pipelines.defs.schedules import build_collect_schedule, build_settle_schedule
from kubecost_pipelines.defs.serving_store import build_serving_store
from kubecost_pipelines.defs.workbench import Workbench
from kubecost_pipelines.settings import CloudStoreSettings, ClusterSettings, Settings, load_settings

BuildOfStore = Callable[[Settings, CloudStoreSettings], dg.AssetsDefinition]
BuildOfCluster = Callable[[Settings, ClusterSettings], dg.AssetsDefinition]

OVER_ALL = (build_asset_inventory, build_asset_costs, build_external_costs, build_serving_store)


@dg.definitions
def defs() -> dg.Definitions:
    """Return the graph of the settings that the environment names."""
    with warnings.catch_warnings():
        # Backfill policies are beta, and a warning per asset would bury what matters.
        warnings.simplefilter("ignore", dg.BetaWarning)
        settings = load_settings()
        return build_definitions(settings) if settings else dg.Definitions(assets=[build_missing_configuration()])


def build_definitions(settings: Settings) -> dg.Definitions:
    """Return one set of assets per ProviderKey and per cluster, the tables over all of them, and what runs them."""
    with _garbage_left_alone():
        return _build(settings)


@contextmanager
def _garbage_left_alone() -> Iterator[None]:
    """Pause the search for garbage: in a graph there is none, and looking takes a third of the time to build it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _build(settings: Settings) -> dg.Definitions:
    bills = [store for store in settings.cloud_stores if settings.reads_bill_of(store)]
    per_store = [build(settings, store) for store in settings.cloud_stores for build in _of_store(settings, store)]
    status = [] if settings.cloud_stores else [build_missing_configuration()]
    per_cluster = [build(settings, one) for one in settings.clusters for build in _of_cluster(settings, one)]
    assets = [*status, *per_store, *per_cluster, *(build(settings) for build in OVER_ALL)]
    derived = [key for asset in assets if asset.partitions_def for key in asset.automation_conditions_by_key]
    return dg.Definitions(
        assets=assets,
        sensors=[*(build_bill_sensor(settings, store) for store in bills), build_automation(settings)],
        schedules=[
            *(build_collect_schedule(settings, cluster) for cluster in settings.clusters),
            *(
                build_export_schedule(settings.export, settings, cluster)
                for cluster in settings.clusters
                if settings.export and settings.runs("export", cluster)
            ),
            *([build_settle_schedule(settings, derived)] if derived else []),
        ],
        resources={"workbench": Workbench(settings)},
        executor=dg.in_process_executor,
    )


def _of_store(settings: Settings, store: CloudStoreSettings) -> Iterator[BuildOfStore]:
    if settings.reads_bill_of(store):
        yield from (build_connection_status, build_cloud_billing)
    if settings.runs("reconciliation", store):
        yield build_reconciled_assets
    if settings.runs("cloud_assets", store):
        yield build_cloud_assets


def _of_cluster(settings: Settings, cluster: ClusterSettings) -> Iterator[BuildOfCluster]:
    yield build_in_cluster_assets
    if settings.runs("allocations", cluster):
        yield build_allocations
        yield build_reconciled_allocations
    if settings.has_hours(cluster):
        yield build_allocations_hourly
        yield build_reconciled_allocations_hourly
    if settings.export and settings.runs("export", cluster):
        yield partial(build_allocation_export, settings.export)
        if settings.export.glue:
            yield partial(build_glue_partitions, settings.export, settings.export.glue)
