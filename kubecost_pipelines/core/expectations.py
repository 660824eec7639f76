"""Expectations: sentences that must be true of a table, each with the rows that break it.

An expectation is an expression that returns its offenders, grouped for a reader; no offenders, no failure.
`defs` runs them and reports them as asset checks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Literal

import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.bills import azure_costs, focus, gcp_export
from kubecost_pipelines.core.bills.aws_cur import RULES
from kubecost_pipelines.core.bills.aws_lines import RESIDUAL
from kubecost_pipelines.core.claiming import same_name
from kubecost_pipelines.core.tables import COST_NAMES

KNOWN_CHARGE_TYPES = [
    *RULES,
    RESIDUAL,
    *gcp_export.CHARGE_CATEGORIES,
    *azure_costs.CHARGE_CATEGORIES,
    *focus.CHARGE_CATEGORIES,
]


@dataclass(frozen=True)
class Expectation:
    """One sentence: its name in the UI, what breaks it and what to do then."""

    name: str
    description: str
    offenders: Callable[[ir.Table], ir.Table]
    severity: Literal["error", "warn"] = "error"


def _missing_costs(bill: ir.Table) -> ir.Table:
    is_missing = reduce(or_, (bill[name].isnull() for name in COST_NAMES))
    return bill.filter(is_missing).group_by("date", "service_name", "charge_type").aggregate(rows=ibis._.count())


def _incomplete_commitments(bill: ir.Table) -> ir.Table:
    rows = bill.filter(bill.missing_cost_lines > 0)
    return rows.group_by("resource_id", "charge_type", "service_name").aggregate(
        days=rows.date.nunique(), lines=rows.missing_cost_lines.sum()
    )


def _residuals(bill: ir.Table) -> ir.Table:
    rows = bill.filter((bill.charge_type == RESIDUAL) & (bill.billed_cost.abs() > 0.01))
    return rows.select("date", "sub_account_id", "billed_cost")


def _unknown_charge_types(bill: ir.Table) -> ir.Table:
    rows = bill.filter(bill.charge_type.notin(KNOWN_CHARGE_TYPES))
    return rows.group_by("charge_type").aggregate(rows=rows.count(), billed_cost=rows.billed_cost.sum())


def _negative_totals(bill: ir.Table) -> ir.Table:
    usage = bill.filter(bill.charge_category.isin(["Usage", "Purchase"]) & bill.provider_id.notnull())
    totals = usage.group_by("date", "provider_id", "category").aggregate(effective_cost=usage.effective_cost.sum())
    return totals.filter(totals.effective_cost < 0)


BILL_EXPECTATIONS = (
    Expectation("focus_costs_are_present", "Every row has all of its costs.", _missing_costs),
    Expectation(
        "commitments_are_complete",
        "Every line that a commitment covers says what it effectively cost. Where the bill leaves that empty, the "
        "asset keeps its estimate. Cure: switch on resource ids and all columns of the report; a Savings Plan or "
        "reservation bought today is complete tomorrow.",
        _incomplete_commitments,
    ),
    Expectation(
        "negations_cancel",
        "What Savings Plans cover is taken back by as much negation, to a cent per account and day. The difference "
        f"is kept as a row of type {RESIDUAL}.",
        _residuals,
    ),
    Expectation(
        "charge_types_are_known",
        "Every line item type is in our table of rules. An unknown one is kept at its unblended cost as an "
        "Adjustment. Cure: upgrade, or report the type.",
        _unknown_charge_types,
        severity="warn",
    ),
    Expectation("totals_are_not_negative", "No resource's usage of a day costs less than nothing.", _negative_totals),
)


def expect_currency(currencies: Sequence[str]) -> Expectation:
    """Return the expectation that a bill is in one of `currencies`, those that the clusters' prices are in."""

    def offenders(bill: ir.Table) -> ir.Table:
        rows = bill.filter(bill.billing_currency.notin(list(currencies)))
        return rows.group_by("billing_currency").aggregate(rows=rows.count(), billed_cost=rows.billed_cost.sum())

    return Expectation(
        "currency_is_expected",
        f"The bill is in {' or '.join(currencies)}, as the clusters' prices are; nothing is converted. Cure: set "
        "`currency` of the cluster (and its price list) to the bill's.",
        offenders,
    )


def expect_monitored_clusters(clusters: Sequence[str]) -> Expectation:
    """Return the expectation that Kubernetes cost which no asset claims belongs to a cluster that we read."""

    def offenders(cloud_assets: ir.Table) -> ir.Table:
        known = [*clusters]
        name = same_name(cloud_assets.cluster)
        is_strange = name.isnull() | name.notin([text.lower().replace("-", "_").replace(".", "_") for text in known])
        rows = cloud_assets.filter(cloud_assets.is_kubernetes & (is_strange if known else ibis.literal(True)))
        return rows.group_by("cluster").aggregate(
            days=rows.date.nunique(), billed_cost=rows.billed_cost.sum(), effective_cost=rows.effective_cost.sum()
        )

    return Expectation(
        "clusters_are_monitored",
        "Kubernetes cost on the bill belongs to clusters that we read. The named ones stay out-of-cluster cost. "
        "Cure: add them to `clusters`.",
        offenders,
        severity="warn",
    )


EVERY_CLUSTER_IS_THERE = Expectation(
    "every_cluster_is_there",
    "Every cluster has reported the day; one that has not is left out. Cure: look at its in_cluster_assets; the day is "
    "made again when they come.",
    lambda rows: rows,
    severity="warn",
)
EVERY_BILL_IS_THERE = Expectation(
    "every_bill_is_there",
    "Every bill has its part of the day; without it in-cluster assets keep their estimate, and external cost is left "
    "out. Cure: look at its cloud_billing and connection_status; the day is made again when it comes.",
    lambda rows: rows,
    severity="warn",
)


def _duplicate_assets(assets: ir.Table) -> ir.Table:
    counted = assets.group_by("date", "asset_id").aggregate(rows=assets.count())
    return counted.filter(counted.rows > 1)


def _impossible_estimates(assets: ir.Table) -> ir.Table:
    is_wrong = assets.cost.isnull() | assets.cost.isnan() | assets.cost.isinf() | (assets.cost < 0)
    return assets.filter(is_wrong).select("date", "asset_id", "cost")


ASSET_EXPECTATIONS = (
    Expectation("asset_ids_are_unique", "Every asset of a day stands there once.", _duplicate_assets),
    Expectation("estimates_are_possible", "Every estimate is a number, and none is negative.", _impossible_estimates),
)


def _impossible_allocations(allocations: ir.Table) -> ir.Table:
    cost = allocations.total_cost
    return allocations.filter(cost.isnan() | cost.isinf() | (cost < 0)).select("date", "name", "total_cost")


ALLOCATION_EXPECTATIONS = (
    Expectation("estimates_are_possible", "Every cost is a number, and none is negative.", _impossible_allocations),
)


def _foreign_currencies(assets: ir.Table) -> ir.Table:
    rows = assets.filter(assets.billing_currency != assets.currency)
    return rows.group_by("cluster", "currency", "billing_currency").aggregate(rows=rows.count())


RECONCILED_EXPECTATIONS = (
    Expectation(
        "currencies_agree",
        "Every claimed asset is billed in the currency of its cluster's prices; one that is not keeps its estimate.",
        _foreign_currencies,
    ),
)


def expect_coverage(minimum: float) -> Expectation:
    """Return the expectation that the bill knows at least `minimum` of each cluster's estimate, on settled days."""

    def offenders(asset_costs: ir.Table) -> ir.Table:
        rows = asset_costs.filter(asset_costs.is_settled & (asset_costs.asset_type != "Network"))
        matched = ibis.ifelse(rows.match_rule.notnull(), rows.cost, 0.0).sum()
        shares = rows.group_by("date", "cluster").aggregate(cost=rows.cost.sum(), matched_cost=matched)
        shares = shares.mutate(share=shares.matched_cost / shares.cost.nullif(0.0))
        return shares.filter(shares.share < minimum)

    return Expectation(
        "coverage_is_sufficient",
        f"The bill knows at least {minimum:.0%} of each cluster's estimated cost on settled days. Cure: look at the "
        "unmatched assets; is the cluster's account in this bill, and does the report have resource ids?",
        offenders,
        severity="warn",
    )


def _unmatched_labels(external: ir.Table) -> ir.Table:
    rows = external.filter(~external.is_matched)
    keys = ("cluster", "namespace", "controller", "service", "pod", "container", "matched_label", "provider_key")
    return rows.group_by(keys).aggregate(days=rows.date.nunique(), cost=rows.cost.sum()).order_by(ibis.desc("cost"))


EXTERNAL_EXPECTATIONS = (
    Expectation(
        "labels_name_what_ran",
        "What a label of a cloud resource names ran in a cluster that day. The named ones stay in this table; those "
        "that name one of our clusters are external cost of it all the same. Cure: correct the label, or "
        "`label_mapping`.",
        _unmatched_labels,
        severity="warn",
    ),
)


def expect_external_currency(currencies: Mapping[str, str]) -> Expectation:
    """Return the expectation that external cost is in its cluster's currency.

    Args:
        currencies: cluster -> currency of its price list.
    """

    def offenders(external: ir.Table) -> ir.Table:
        expected = [ibis.literal(name + "/" + currency) for name, currency in currencies.items()]
        is_ours = external.cluster.isin(list(currencies))
        rows = external.filter(is_ours & (external.cluster + "/" + external.billing_currency).notin(expected))
        keys = ("cluster", "provider_key", "billing_currency")
        return rows.group_by(keys).aggregate(rows=rows.count(), cost=rows.cost.sum())

    return Expectation(
        "external_currencies_agree",
        "External cost is billed in the currency of its cluster's prices; what is not stays in this table, and is no "
        "cost of a workload, for nothing is converted. Cure: let `currency` of the cluster be the bill's.",
        offenders,
    )


EXTERNAL_COSTS_ARE_THERE = Expectation(
    "external_costs_are_there",
    "The day has its external_costs; without them no workload has external cost. Cure: materialise external_costs of "
    "the day; this follows.",
    lambda missing: missing,
    severity="warn",
)


def _overcommitted(nodes: ir.Table) -> ir.Table:
    over = [nodes[f"{name}_used"] > nodes[f"{name}_capacity"] * 1.001 for name in ("cpu", "ram", "gpu")]
    found = nodes.filter(reduce(or_, over))
    used = ("cpu_used", "cpu_capacity", "ram_used", "ram_capacity", "gpu_used", "gpu_capacity")
    return found.select("date", *used, node=found.name)


PRICE_EXPECTATIONS = {
    "lost": Expectation(
        "allocations_have_a_node",
        "Every workload ran on a node that is an asset. One that did not has nothing that it could cost: its estimate "
        "is adjusted to 0. Cure: materialise in_cluster_assets of the day again. Fargate pods have no node: what AWS "
        "bills for each is its external cost.",
        lambda lost: lost,
    ),
    "nodes": Expectation(
        "nodes_are_not_overcommitted",
        "No node's workloads took more than it has. Those that did share its cost, and leave nothing idle.",
        _overcommitted,
        severity="warn",
    ),
}
"""By which table of `workload_costs.Prices` they are about."""


def _negative_idle(rows: ir.Table) -> ir.Table:
    idle = rows.filter((rows.allocation_type == "idle") & (rows.total_cost < -1e-9))
    return idle.select("date", "node", "total_cost")


RECONCILED_ALLOCATION_EXPECTATIONS = (
    Expectation(
        "idle_is_not_negative",
        "No node has less than nothing left. It can only be so where the bill says that it cost less than nothing.",
        _negative_idle,
    ),
)


DISTRIBUTIONS_ARE_ZERO_SUM = Expectation(
    "distributions_are_zero_sum",
    "Whoever pays for idle and shared cost, the day's total does not move.",
    lambda gaps: gaps,
)


def expect_billed(minimum: float) -> Expectation:
    """Return the expectation that at least `minimum` of a settled day's cost is billed, and no longer provisional."""

    def offenders(reconciled_allocations: ir.Table) -> ir.Table:
        rows = reconciled_allocations
        rows = rows.filter(rows.is_settled & (rows.allocation_type != "external"))
        billed = ibis.ifelse(rows.is_reconciled, rows.total_cost, 0.0).sum()
        shares = rows.group_by("date").aggregate(cost=rows.total_cost.sum(), billed_cost=billed)
        shares = shares.mutate(share=shares.billed_cost / shares.cost.nullif(0.0))
        return shares.filter(shares.share < minimum)

    return Expectation(
        "settled_cost_is_billed",
        f"At least {minimum:.0%} of a settled day's cost is billed cost; the rest is still provisional. Cure: look at "
        "the unmatched assets of asset_costs.",
        offenders,
        severity="warn",
    )
