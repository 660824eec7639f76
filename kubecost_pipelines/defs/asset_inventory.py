"""asset_inventory: the assets of every cluster in one table, so that stores × clusters edges never appear."""

import dagster as dg
import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.expectations import ASSET_EXPECTATIONS, EVERY_CLUSTER_IS_THERE
from kubecost_pipelines.core.tables import ASSET_INVENTORY, IN_CLUSTER_ASSETS
from kubecost_pipelines.core.window import Window
from kubecost_pipelines.defs.completeness import name_missing
from kubecost_pipelines.defs.describing import check_spec, daily_asset
from kubecost_pipelines.defs.keys import asset_key
from kubecost_pipelines.defs.reporting import Materialized, Report, window_of
from kubecost_pipelines.defs.workbench import Tools, Workbench
from kubecost_pipelines.settings import Settings


def build_asset_inventory(settings: Settings) -> dg.AssetsDefinition:
    """Build the fan-in of every cluster's assets."""
    upstream = [asset_key(IN_CLUSTER_ASSETS, cluster.name) for cluster in settings.clusters]
    key = asset_key(ASSET_INVENTORY)
    names = {cluster.name: [cluster.name] for cluster in settings.clusters}

    @daily_asset(
        settings,
        ASSET_INVENTORY,
        [],
        deps={IN_CLUSTER_ASSETS.name: upstream},
        group="costs",
        check_specs=[check_spec(key, one) for one in (*ASSET_EXPECTATIONS, EVERY_CLUSTER_IS_THERE)],
    )
    def asset_inventory(context: dg.AssetExecutionContext, workbench: dg.ResourceParam[Workbench]) -> Materialized:
        with workbench.open() as tools:
            window = window_of(context)
            report = Report(context, settled=tools.settled(window.days))
            for month in window.by_month():
                # Before they are read: one that comes meanwhile is named as missing, and makes the day again.
                details = name_missing(tools, report, EVERY_CLUSTER_IS_THERE, IN_CLUSTER_ASSETS, names, month.days)
                staged = tools.lake.stage(ASSET_INVENTORY, _all_clusters(tools, month), tools.engine)
                for expectation in ASSET_EXPECTATIONS:
                    report.check(expectation, staged.rows)
                report.add(tools.lake.publish(staged, [], month.days, details=details))
            return report.result()

    return asset_inventory


def _all_clusters(tools: Tools, month: Window) -> ir.Table:
    nobody = tools.lake.read(IN_CLUSTER_ASSETS, [], [], tools.engine)
    tables = [
        tools.lake.read(IN_CLUSTER_ASSETS, [cluster.name], month.days, tools.engine)
        for cluster in tools.settings.clusters
    ]
    return ibis.union(nobody, *tables) if tables else nobody
