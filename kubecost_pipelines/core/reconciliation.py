"""Reconciliation: move in-cluster estimates to what the cloud billed.

Expressions over tables. Reading and writing the tables is the work of `lake`.
"""

from collections.abc import Sequence
from datetime import date

import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.claiming import MATCH_COLUMNS
from kubecost_pipelines.core.tables import ASSET_COSTS, ESTIMATE, RECONCILED_ASSETS

_SUMMED = ("billed_cost", "effective_cost", "list_cost", "reconciled_cost", "bill_rows", "missing_cost_lines")
_CLAIMED = (*_SUMMED, "match_rule", "provider_key", "billing_currency")

_BILLED = ("billed_cost", "effective_cost", "list_cost")


def reconciled_columns(cost_metric: str) -> list[str]:
    """Return the columns of the bill that `claim` and `reconcile` read: a decimal less is a tenth of the reading."""
    costs = dict.fromkeys([*_BILLED, f"{cost_metric}_cost"])
    return ["date", *MATCH_COLUMNS, *costs, "missing_cost_lines", "billing_currency"]


def reconcile(
    claims: ir.Table, assets: ir.Table, *, provider_key: str, cost_metric: str, settled: Sequence[date]
) -> ir.Table:
    """Return the assets that a bill claims, at their billed cost, and the Network assets that it reveals.

    `adjustment = reconciled_cost − cost` from the unadjusted estimate, so that a second run changes nothing.
    It stays 0 on a day that is not settled (a partial bill would deflate the cost), for an asset with a bill line
    whose cost is empty (which means "not known", never "free") and for one billed in another currency.

    Args:
        claims: the bill with who claims each row, as `claim` returns it.
        assets: rows of `asset_inventory`, with `date`.
        provider_key: the bill's, as text.
        cost_metric: `effective`, `billed`, `list`, `contracted`, `amortized` or `net`.
        settled: the days that are settled.

    Returns:
        Rows of `reconciled_assets`, with `date`.
    """
    claimed = claims.filter(claims.asset_id.notnull())
    sums = claimed.group_by("date", "asset_id", "reveals").aggregate(
        **{name: claimed[name].sum() for name in _BILLED},
        reconciled_cost=claimed[f"{cost_metric}_cost"].sum(),
        bill_rows=claimed.bill_rows.sum() if "bill_rows" in claimed.columns else claimed.count(),
        missing_cost_lines=claimed.missing_cost_lines.sum(),
        match_rule=claimed.match_rule.min(),
        billing_currency=_one_currency(claimed),
    )
    known = assets.select("date", *(name for name in RECONCILED_ASSETS.names if name in assets.columns))
    joined = sums.inner_join(known, ["date", "asset_id"])
    is_new = joined.reveals.notnull()
    joined = joined.mutate(
        provider_key=ibis.literal(provider_key),
        asset_type=joined.reveals.fill_null(joined.asset_type),
        category=joined.reveals.fill_null(joined.category),
        asset_id=ibis.ifelse(is_new, joined.asset_id + "/" + joined.reveals.lower(), joined.asset_id),
        cost=ibis.ifelse(is_new, 0.0, joined.cost),
    )
    return _adjusted(joined, settled).select("date", *_cast(RECONCILED_ASSETS.schema()))


def cost_assets(assets: ir.Table, reconciled: Sequence[ir.Table], settled: Sequence[date]) -> ir.Table:
    """Return the Daily Asset Store: every in-cluster asset once, reconciled or still estimated.

    Args:
        assets: rows of `asset_inventory`, with `date`.
        reconciled: `reconciled_assets` of every bill. Where two bills claim one asset (an account billed through
            two payers), their costs add up.
        settled: the days that are settled.

    Returns:
        Rows of `asset_costs`, with `date`.
    """
    if not reconciled:
        return _unclaimed(assets, settled)
    rows = ibis.union(*reconciled) if len(reconciled) > 1 else reconciled[0]
    texts = {name: rows[name].min() for name in ("match_rule", "provider_key")} | {
        "billing_currency": _one_currency(rows)
    }
    sums = rows.group_by("date", "asset_id").aggregate(**{name: rows[name].sum() for name in _SUMMED}, **texts)
    known = _adjusted(assets.left_join(sums, ["date", "asset_id"]).drop("date_right", "asset_id_right"), settled)
    new = rows.filter(rows.asset_type == "Network")
    once = new.group_by("date", "asset_id").aggregate(
        **{name: new[name].sum() for name in _SUMMED},
        **{name: new[name].arbitrary() for name in new.columns if name not in (*_SUMMED, "date", "asset_id")},
    )
    return _shape(known).union(_shape(_adjusted(once, settled)))


def _one_currency(rows: ir.Table) -> ir.StringValue:
    currency = rows.billing_currency
    return ibis.ifelse(currency.min() == currency.max(), currency.min(), "mixed")


def _unclaimed(assets: ir.Table, settled: Sequence[date]) -> ir.Table:
    nothing = {name: ibis.null().cast(RECONCILED_ASSETS.schema()[name]) for name in _CLAIMED}
    return _shape(_adjusted(assets.mutate(**nothing), settled))


def _adjusted(rows: ir.Table, settled: Sequence[date]) -> ir.Table:
    """Add `is_settled`, `is_reconciled`, `adjustment` and `total_cost`."""
    is_settled = rows.date.isin(list(settled)) if settled else ibis.literal(False)
    is_known = (
        rows.reconciled_cost.notnull() & (rows.missing_cost_lines == 0) & (rows.billing_currency == rows.currency)
    )
    rows = rows.mutate(is_settled=is_settled, is_reconciled=(is_settled & is_known).fill_null(False))
    gap = rows.reconciled_cost.cast(ESTIMATE) - rows.cost
    rows = rows.mutate(adjustment=ibis.ifelse(rows.is_reconciled, gap, 0.0))
    # The total is the billed cost itself, not cost + (billed − cost), which differs in the last bits.
    return rows.mutate(total_cost=ibis.ifelse(rows.is_reconciled, rows.reconciled_cost.cast(ESTIMATE), rows.cost))


def _shape(rows: ir.Table) -> ir.Table:
    schema = ASSET_COSTS.schema()
    rows = rows.mutate(cost_basis=ibis.ifelse(rows.is_reconciled, "billed", "list"))
    columns = {name: rows[name] if name in rows.columns else ibis.null() for name in schema}
    return rows.select("date", **{name: column.cast(schema[name]) for name, column in columns.items()})


def _cast(schema: ibis.Schema) -> list[ir.Value]:
    return [ibis._[name].cast(type_).name(name) for name, type_ in schema.items()]


def leave_unclaimed(claims: ir.Table) -> ir.Table:
    """Return the rows of the bill that no in-cluster asset claims: `cloud_assets`, with every column of the bill."""
    ours = ("asset_id", "match_rule", "reveals", "bill_rows")
    return claims.filter(claims.asset_id.isnull()).drop(*(name for name in ours if name in claims.columns))
