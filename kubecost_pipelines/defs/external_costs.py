"""external_costs: cloud cost of any bill that is labelled for a cluster's workload."""

from functools import reduce

import dagster as dg
import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.expectations import EVERY_BILL_IS_THERE, EXTERNAL_EXPECTATIONS, expect_external_currency
from kubecost_pipelines.core.external_costs import labelled_costs, match_external, names_of
from kubecost_pipelines.core.tables import ALLOCATIONS, CLOUD_ASSETS, EXTERNAL_COSTS
from kubecost_pipelines.core.window import Window
from kubecost_pipelines.defs.completeness import name_missing
from kubecost_pipelines.defs.describing import check_spec, daily_asset
from kubecost_pipelines.defs.keys import asset_key
from kubecost_pipelines.defs.reporting import SHOWN, STATE, Materialized, Report, as_table, window_of
from kubecost_pipelines.defs.workbench import Tools, Workbench
from kubecost_pipelines.settings import CloudStoreSettings, ClusterSettings, Settings


def build_external_costs(settings: Settings) -> dg.AssetsDefinition:
    """Build the fan-in of all bills' cloud assets, matched with what ran in all clusters."""
    stores, clusters = _stores(settings), _clusters(settings)
    deps = {
        CLOUD_ASSETS.name: [asset_key(CLOUD_ASSETS, *store.key.parts) for store in stores],
        ALLOCATIONS.name: [asset_key(ALLOCATIONS, cluster.name) for cluster in clusters],
    }
    key = asset_key(EXTERNAL_COSTS)
    currencies = {cluster.name: cluster.currency for cluster in clusters}
    expectations = (*EXTERNAL_EXPECTATIONS, expect_external_currency(currencies))

    @daily_asset(
        settings,
        EXTERNAL_COSTS,
        [],
        deps=deps,
        group="costs",
        check_specs=[check_spec(key, one) for one in (*expectations, EVERY_BILL_IS_THERE)],
    )
    def external_costs(context: dg.AssetExecutionContext, workbench: dg.ResourceParam[Workbench]) -> Materialized:
        with workbench.open() as tools:
            window = window_of(context)
            report = Report(context, settled=tools.settled(window.days))
            for month in window.by_month():
                bills = {str(store.key): store.key.parts for store in stores}
                missing = name_missing(tools, report, EVERY_BILL_IS_THERE, CLOUD_ASSETS, bills, month.days)
                staged = tools.lake.stage(EXTERNAL_COSTS, _external(tools, month), tools.engine)
                for expectation in expectations:
                    report.check(expectation, staged.rows)
                report.metadata["external_cost"] = as_table(_by_name(staged.rows).to_pyarrow().to_pylist())
                details = {day: {STATE: report.state_of(day), **missing.get(day, {})} for day in month.days}
                report.add(tools.lake.publish(staged, [], month.days, details=details))
            return report.result()

    return external_costs


def _external(tools: Tools, month: Window) -> ir.Table:
    mapping = tools.settings.allocation.label_mapping.as_mapping
    bills = {
        str(store.key): tools.lake.read(CLOUD_ASSETS, store.key.parts, month.days, tools.engine)
        for store in _stores(tools.settings)
    }
    bills = bills or {"": tools.lake.read(CLOUD_ASSETS, [], [], tools.engine)}
    labels = list(mapping.labels)
    labelled = tools.keep(labelled_costs(bills, mapping, tools.settings.cost_metric))
    # Nothing is labelled: then there is no need to read what ran.
    days = month.days if labelled.count().to_pyarrow().as_py() else []
    ran = [
        tools.lake.read(ALLOCATIONS, [cluster.name], days, tools.engine).select(*_READ)
        for cluster in _clusters(tools.settings)
    ]
    nothing = tools.lake.read(ALLOCATIONS, [], [], tools.engine).select(*_READ)
    names = tools.keep(names_of(reduce(ir.Table.union, ran, nothing), labels))
    clusters = [cluster.name for cluster in tools.settings.clusters]
    return match_external(labelled, names, labels, clusters)


_READ = (
    *("date", "cluster", "namespace", "controller", "controller_kind", "pod", "container", "services", "labels"),
    "total_cost",
)


def _by_name(rows: ir.Table) -> ir.Table:
    grouped = rows.group_by("cluster", "namespace", "controller", "service_name", "matched_label", "is_matched")
    return grouped.aggregate(cost=rows.cost.sum()).order_by(ibis.desc("cost")).limit(SHOWN)


def _stores(settings: Settings) -> list[CloudStoreSettings]:
    return [store for store in settings.cloud_stores if settings.runs("cloud_assets", store)]


def _clusters(settings: Settings) -> list[ClusterSettings]:
    return [cluster for cluster in settings.clusters if settings.runs("allocations", cluster)]
