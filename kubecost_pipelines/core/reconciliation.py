"""Reconciliation: move in-cluster estimates to what the cloud billed.

Expressions over tables. Reading and writing the tables is the work of `lake`.
"""

from collections.abc import Iterable, Sequence
from datetime import date

import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.claiming import MATCH_COLUMNS
from kubecost_pipelines.core.tables import (
    ASSET_COSTS,
    ASSET_INVENTORY,
    ESTIMATE,
    RECONCILED_ASSETS,
    label_column,
)

_SUMMED = ("billed_cost", "effective_cost", "list_cost", "reconciled_cost", "bill_rows", "missing_cost_lines")
_CLAIMED = (*_SUMMED, "match_rule", "provider_key", "billing_currency")

_INVENTORIED = ("date", "volume_name", *(name for name in RECONCILED_ASSETS.names if name in ASSET_INVENTORY.names))


def for_claiming(inventory: ir.Table, label_keys: Sequence[str] = ()) -> ir.Table:
    """Return the columns of the inventory that `claim` and `reconcile` read, as `for_reconciling` those of the bill."""
    return inventory.select(*_INVENTORIED, **_own_labels(inventory, label_keys))


def for_reconciling(bill: ir.Table, cost_metric: str, label_keys: Sequence[str] = ()) -> ir.Table:
    """Return the columns of the bill that `claim` and `sum_by_asset` read: each one less makes both faster.

    A label key that the bill was written without (the settings have gained it since) is null.
    """
    costs = dict.fromkeys(("billed_cost", "effective_cost", "list_cost", f"{cost_metric}_cost"))
    labels = {
        name: bill[name] if name in bill.columns else ibis.null("string") for name in map(label_column, label_keys)
    }
    return bill.select("date", *MATCH_COLUMNS, *costs, "missing_cost_lines", "billing_currency", **labels)


def sum_by_asset(claims: ir.Table, cost_metric: str, label_keys: Sequence[str] = ()) -> ir.Table:
    """Return what the bill has for each asset, and under a null `asset_id` what no asset claims.

    Args:
        claims: the bill with who claims each row, as `claim` returns it.
        cost_metric: `effective`, `billed`, `list`, `contracted`, `amortized` or `net`.
        label_keys: the labels to take, of which `claims` has the columns. A label that changed on a day is the last
            in the alphabet.

    Returns:
        A row per `date`, `asset_id` and `reveals`, with the costs, `bill_rows`, `match_rule`, `billing_currency` and a
        column per label key.
    """
    return claims.group_by("date", "asset_id", "reveals").aggregate(
        billed_cost=claims.billed_cost.sum(),
        effective_cost=claims.effective_cost.sum(),
        list_cost=claims.list_cost.sum(),
        reconciled_cost=claims[f"{cost_metric}_cost"].sum(),
        bill_rows=claims.bill_rows.sum() if "bill_rows" in claims.columns else claims.count(),
        missing_cost_lines=claims.missing_cost_lines.sum(),
        match_rule=claims.match_rule.min(),
        billing_currency=_one_currency(claims),
        **{name: claims[name].max() for name in map(label_column, label_keys)},
    )


def reconcile(
    billed: ir.Table, assets: ir.Table, *, provider_key: str, last_settled: date, label_keys: Sequence[str] = ()
) -> ir.Table:
    """Return the assets that a bill claims, at their billed cost, and the Network assets that it reveals.

    `adjustment = reconciled_cost − cost` from the unadjusted estimate, so that a second run changes nothing.
    It stays 0 on a day that is not settled (a partial bill would deflate the cost), for an asset with a bill line
    whose cost is empty (which means "not known", never "free") and for one billed in another currency.

    A label is the asset's own, or else that of its bill rows.

    Args:
        billed: what the bill has for each asset, as `sum_by_asset` returns it.
        assets: rows of `asset_inventory`, as `for_claiming` returns them.
        provider_key: the bill's, as text.
        last_settled: the last day that is settled.
        label_keys: the labels to take, of which `billed` has the columns.

    Returns:
        Rows of `reconciled_assets`, with `date` and a column per label key.
    """
    labels = [label_column(key) for key in label_keys]
    own = {f"own_{name}": assets[name] for name in labels}
    known = assets.select("date", *(name for name in RECONCILED_ASSETS.names if name in assets.columns), **own)
    joined = billed.inner_join(known, ["date", "asset_id"])
    is_new = joined.reveals.notnull()
    joined = joined.mutate(
        provider_key=ibis.literal(provider_key),
        asset_type=joined.reveals.fill_null(joined.asset_type),
        category=joined.reveals.fill_null(joined.category),
        asset_id=ibis.ifelse(is_new, _revealed_id(joined.asset_id, joined.reveals), joined.asset_id),
        cost=ibis.ifelse(is_new, 0.0, joined.cost),
        **{name: ibis.coalesce(joined[f"own_{name}"], joined[name]) for name in labels},
    )
    return _adjusted(joined, last_settled).select("date", *_cast(RECONCILED_ASSETS.schema()), *labels)


def _revealed_id(asset_id: ir.StringValue, asset_type: ir.StringValue) -> ir.StringValue:
    """Return the id of what a bill row reveals beside an asset, such as the traffic of a node."""
    return asset_id + "/" + asset_type.lower()


def _own_labels(assets: ir.Table, label_keys: Sequence[str]) -> dict[str, ir.StringValue]:
    """Return an asset's labels by column; Kubecost writes those of Kubernetes as `label_<key>`."""
    return {
        label_column(key): ibis.coalesce(assets.labels.get(key), assets.labels.get(label_column(key)))
        for key in label_keys
    }


def cost_assets(
    assets: ir.Table, reconciled: Sequence[ir.Table], last_settled: date, label_keys: Sequence[str] = ()
) -> ir.Table:
    """Return the Daily Asset Store: every in-cluster asset once, reconciled or still estimated.

    Args:
        assets: rows of `asset_inventory`, with `date`.
        reconciled: `reconciled_assets` of every bill. Where two bills claim one asset (an account billed through
            two payers), their costs add up.
        last_settled: the last day that is settled.
        label_keys: the labels to keep, an asset's own or of its bill.

    Returns:
        Rows of `asset_costs`, with `date` and a column per label key.
    """
    own = _own_labels(assets, label_keys)
    if not reconciled:
        return _unclaimed(assets.mutate(**own), last_settled, own)
    alike = [_with_labels(rows, own) for rows in reconciled]
    rows = ibis.union(*alike) if len(alike) > 1 else alike[0]
    one_of = ("match_rule", "provider_key", *own)
    sums = rows.group_by("date", "asset_id").aggregate(
        **{name: rows[name].sum() for name in _SUMMED},
        **{name: rows[name].min() for name in one_of},
        billing_currency=_one_currency(rows),
    )
    joined = assets.mutate(**{f"own_{name}": label for name, label in own.items()}).left_join(
        sums, ["date", "asset_id"]
    )
    joined = joined.mutate(**{name: ibis.coalesce(joined[name], joined[f"own_{name}"]) for name in own})
    known = _adjusted(joined.drop("date_right", "asset_id_right"), last_settled)
    new = rows.filter(rows.asset_type == "Network")
    once = new.group_by("date", "asset_id").aggregate(
        **{name: new[name].sum() for name in _SUMMED},
        **{name: new[name].arbitrary() for name in new.columns if name not in (*_SUMMED, "date", "asset_id")},
    )
    nodes = assets.select("date", "labels", asset_id=_revealed_id(assets.asset_id, ibis.literal("Network")))
    once = once.left_join(nodes, ["date", "asset_id"]).drop("date_right", "asset_id_right")
    return _shape(known, own).union(_shape(_adjusted(once, last_settled), own))


def _with_labels(rows: ir.Table, names: Iterable[str]) -> ir.Table:
    """Return rows of `reconciled_assets` with these columns of labels and no others; null where a file lacks one."""
    labels = {name: rows[name] if name in rows.columns else ibis.null("string") for name in names}
    return rows.select("date", *RECONCILED_ASSETS.names, **labels)


def _one_currency(rows: ir.Table) -> ir.StringValue:
    currency = rows.billing_currency
    return ibis.ifelse(currency.min() == currency.max(), currency.min(), "mixed")


def _unclaimed(assets: ir.Table, last_settled: date, labels: Iterable[str]) -> ir.Table:
    nothing = {name: ibis.null().cast(RECONCILED_ASSETS.schema()[name]) for name in _CLAIMED}
    return _shape(_adjusted(assets.mutate(**nothing), last_settled), labels)


def _adjusted(rows: ir.Table, last_settled: date) -> ir.Table:
    """Add `is_settled`, `is_reconciled`, `adjustment` and `total_cost`."""
    is_settled = rows.date <= ibis.literal(last_settled)
    is_known = (
        rows.reconciled_cost.notnull() & (rows.missing_cost_lines == 0) & (rows.billing_currency == rows.currency)
    )
    rows = rows.mutate(is_settled=is_settled, is_reconciled=(is_settled & is_known).fill_null(False))
    gap = rows.reconciled_cost.cast(ESTIMATE) - rows.cost
    rows = rows.mutate(adjustment=ibis.ifelse(rows.is_reconciled, gap, 0.0))
    # The total is the billed cost itself, not cost + (billed − cost), which differs in the last bits.
    return rows.mutate(total_cost=ibis.ifelse(rows.is_reconciled, rows.reconciled_cost.cast(ESTIMATE), rows.cost))


def _shape(rows: ir.Table, labels: Iterable[str]) -> ir.Table:
    schema = ASSET_COSTS.schema()
    rows = rows.mutate(cost_basis=ibis.ifelse(rows.is_reconciled, "billed", "list"))
    columns = {name: rows[name] if name in rows.columns else ibis.null() for name in schema}
    return rows.select(
        "date", **{name: column.cast(schema[name]) for name, column in columns.items()}, **{n: rows[n] for n in labels}
    )


def _cast(schema: ibis.Schema) -> list[ir.Value]:
    return [ibis._[name].cast(type_).name(name) for name, type_ in schema.items()]


def leave_unclaimed(claims: ir.Table) -> ir.Table:
    """Return the rows of the bill that no in-cluster asset claims: `cloud_assets`, with every column of the bill."""
    ours = ("asset_id", "match_rule", "reveals", "bill_rows")
    return claims.filter(claims.asset_id.isnull()).drop(*(name for name in ours if name in claims.columns))
