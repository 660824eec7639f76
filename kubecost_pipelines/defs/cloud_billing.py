"""cloud_billing: one ProviderKey's bill, copied into the lake."""

import dagster as dg
import duckdb
import ibis
import ibis.expr.types as ir

from kubecost_pipelines.clouds import BillError, open_store, unreadable
from kubecost_pipelines.core.expectations import BILL_EXPECTATIONS, Expectation, expect_currency
from kubecost_pipelines.core.tables import CLOUD_BILLING, label_column
from kubecost_pipelines.core.window import Window
from kubecost_pipelines.defs.describing import check_spec, daily_asset, of_bill
from kubecost_pipelines.defs.keys import asset_key
from kubecost_pipelines.defs.reporting import Materialized, Report, window_of
from kubecost_pipelines.defs.restatements import record_restatements
from kubecost_pipelines.defs.workbench import Tools, Workbench
from kubecost_pipelines.lake import LakeError
from kubecost_pipelines.settings import CloudStoreSettings, Settings

BILL_IS_PRESENT = Expectation(
    "bill_is_present",
    "Every day has a bill. Bills arrive up to two days late; a day that stays empty is a wrong `export` or an export "
    "that was set up after it.",
    lambda rows: rows,
    severity="warn",
)


def build_cloud_billing(settings: Settings, store: CloudStoreSettings) -> dg.AssetsDefinition:
    """Build the asset that copies one ProviderKey's bill into the lake."""
    currencies = [store.currency] if store.currency else sorted({c.currency for c in settings.clusters}) or ["USD"]
    expectations = (*BILL_EXPECTATIONS, expect_currency(currencies))
    key = asset_key(CLOUD_BILLING, *store.key.parts)

    @daily_asset(
        settings,
        CLOUD_BILLING,
        store.key.parts,
        deps={},
        pool=store.key.slug,
        kinds={store.provider},
        check_specs=[check_spec(key, one) for one in (*expectations, BILL_IS_PRESENT)],
        **of_bill(store),
    )
    def cloud_billing(context: dg.AssetExecutionContext, workbench: dg.ResourceParam[Workbench]) -> Materialized:
        window = window_of(context)
        with workbench.open() as tools:
            report = Report(context, settled=tools.settled(window.days))
            for month in window.by_month():
                try:
                    _copy_bill(tools, store, month, expectations, report)
                except (BillError, LakeError) as error:
                    context.log.error(str(error))
                    report.failures[f"{month.start:%Y-%m}"] = error
            return report.result()

    return cloud_billing


def _copy_bill(
    tools: Tools, store: CloudStoreSettings, month: Window, expectations: tuple[Expectation, ...], report: Report
) -> None:
    bill = open_store(store, tools.settings.bill_label_keys, tools.scratch).read_billing(month, tools.engine)
    rows = bill.rows if bill.rows is not None else _no_rows(tools)
    try:
        staged = tools.lake.stage(CLOUD_BILLING, rows, tools.engine, bill.complete, is_held=not bill.is_computed)
    except duckdb.Error as error:
        raise unreadable(bill.source, error) from error
    for expectation in expectations:
        report.check(expectation, staged.rows)
    empty = [day for day in month.days if day not in staged.by_day]
    report.note(
        BILL_IS_PRESENT, [{"date": day, "why": bill.missing or "the bill has no charge on that day"} for day in empty]
    )
    details, changes = record_restatements(tools, store, month.days, staged)
    report.by_day |= changes
    report.add(
        tools.lake.publish(staged, store.key.parts, month.days, inputs=bill.inputs, details=details, may_empty=False)
    )


def _no_rows(tools: Tools) -> ir.Table:
    labels = {label_column(key): ibis.null().cast("string") for key in tools.settings.bill_label_keys}
    return tools.lake.read(CLOUD_BILLING, [], [], tools.engine).mutate(**labels)
