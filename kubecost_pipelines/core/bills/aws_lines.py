"""AWS lines: find the report's columns, sum its lines to days and resources, and name them as FOCUS does.

The rules are the tables of `aws_cur`; this module only applies them.
"""

from collections.abc import Sequence

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from kubecost_pipelines.core.bills import aws_cur
from kubecost_pipelines.core.bills.aws_cur import canonical_name
from kubecost_pipelines.core.bills.source import SourceColumns, UnknownBillError, billing_period, clamp
from kubecost_pipelines.core.bills.tags import as_json
from kubecost_pipelines.core.label_mapping import ATTRIBUTION_TAGS
from kubecost_pipelines.core.tables import CLOUD_BILLING, COST, COST_NAMES, label_column
from kubecost_pipelines.core.window import Window

RESIDUAL = "UnblendedResidual"
"""Our charge type for what the billed costs of a day lack of its unblended cost: negations that do not cancel."""


def normalise(report: ir.Table, window: Window, label_keys: Sequence[str]) -> ir.Table:
    """Return the rows of `cloud_billing` for the days of `window`, with `date` and a column per label key.

    Together with its `residual`, what is billed is the invoice. Every line of the report lies in exactly one day: one
    whose usage starts outside the report's billing period (a late correction) counts on the nearest day within, and
    keeps its own `charge_period_start`.

    Args:
        report: the lines of ONE billing period as AWS delivers them: CSV as text, or Parquet.
        window: days of one month, the report's billing period.
        label_keys: tag keys to keep.

    Raises:
        UnknownBillError: a column that nothing can stand in for is missing.
    """
    daily, tags = sum_to_days(report, window, label_keys)
    return name_as_focus(daily, tags, window, label_keys)


def sum_to_days(report: ir.Table, window: Window, label_keys: Sequence[str]) -> tuple[ir.Table, dict[str, str]]:
    """Return one row per day and resource (and what else `KEYS` has), which is what Athena computes by itself.

    Returns:
        The rows, and the tags among their columns: key -> column.

    Raises:
        UnknownBillError: a column that nothing can stand in for is missing.
    """
    lines, tags = _read_lines(report, window, label_keys)
    return _sum_to_days(lines, tags), tags


def source_columns(report: ir.Table) -> list[str]:
    """Return the columns of the report that `normalise` reads, tags aside."""
    names = SourceColumns(report, canonical_name)
    sources = (*aws_cur.KEYS.values(), aws_cur.USAGE_START, *aws_cur.NUMBERS.values())
    return [found for source in sources if (found := names.find(source))]


def _read_lines(report: ir.Table, window: Window, label_keys: Sequence[str]) -> tuple[ir.Table, dict[str, str]]:
    """Pick, cast and date the columns we use; return the lines, and tag key -> column name."""
    names = SourceColumns(report, canonical_name)
    sources = (*aws_cur.KEYS.values(), aws_cur.USAGE_START, *aws_cur.NUMBERS.values())
    if missing := names.missing(sources):
        raise UnknownBillError(
            f"not a Cost and Usage Report with resource ids: it lacks {', '.join(missing)}. Export a legacy CUR "
            "(CSV or Parquet) or a CUR 2.0 with `INCLUDE RESOURCE IDS` on; `export` must name that report's folder."
        )
    columns: dict[str, ir.Value] = {}
    for ours, source in aws_cur.KEYS.items():
        if found := names.find(source):
            columns[ours] = report[found].cast("string")
    for ours, source in aws_cur.NUMBERS.items():
        if names.find(source):
            columns[ours] = names.number(source)
    tags = _tag_columns(report, names, label_keys)
    for position, (_, value) in enumerate(tags.items()):
        columns[f"tag_{position}"] = value
    start = names.find(aws_cur.USAGE_START)
    assert start is not None  # noqa: S101 - `check` has seen it
    columns["charge_period_start"] = _as_day(report[start])
    return _within(report.select(**columns), window), {key: f"tag_{position}" for position, key in enumerate(tags)}


def _as_day(column: ir.Value) -> ir.DateValue:
    # AWS writes UTC, as `…T00:00:00Z` or `… 00:00:00+00:00`; the day is its first ten characters.
    return (column.substr(0, 10) if column.type().is_string() else column).cast("date")


def _within(lines: ir.Table, window: Window) -> ir.Table:
    """Keep the window's days, by a plain comparison on the source column so that Parquet row groups can be skipped."""
    first, last = billing_period(window)
    start, end = window.days[0], window.days[-1]
    if start > first:
        lines = lines.filter(lines.charge_period_start >= ibis.date(start))
    if end < last:
        lines = lines.filter(lines.charge_period_start <= ibis.date(end))
    return lines


def _tag_columns(report: ir.Table, names: SourceColumns, label_keys: Sequence[str]) -> dict[str, ir.StringValue]:
    """Return the tags worth keeping that this report has, key -> value.

    The report writes `user:` before the tags that people set; Athena and CUR 2.0 write every key in lower
    case with underscores, so that the key asked for is the one that names the label.
    """
    known = (*label_keys, *aws_cur.KUBERNETES_TAGS, *ATTRIBUTION_TAGS)
    tags: dict[str, ir.StringValue] = {}
    for key in dict.fromkeys(known):
        prefixed = key if key.startswith("aws:") else f"user:{key}"
        if values := _tag_values(report, names, canonical_name(prefixed)):
            tags[key] = ibis.coalesce(*values) if len(values) > 1 else values[0]  # Trino takes no coalesce of one
    owned = canonical_name(f"user:{aws_cur.OWNED_TAG_PREFIX}")
    for name in report.columns:
        canonical = canonical_name(name).removeprefix("resource_tags_")
        if canonical.startswith(f"{owned}_") and report[name].type().is_string():
            cluster = name.rpartition("/")[2] if "/" in name else canonical.removeprefix(f"{owned}_")
            tags[f"{aws_cur.OWNED_TAG_PREFIX}{cluster}"] = report[name].nullif("")
    return tags


def _tag_values(report: ir.Table, names: SourceColumns, canonical: str) -> list[ir.StringValue]:
    flat = [report[name].nullif("") for name in names.of.get(f"resource_tags_{canonical}", [])]
    nested = "resource_tags" in report.columns and isinstance(report.resource_tags.type(), dt.Map)
    return [*flat, report.resource_tags.get(canonical, None).nullif("")] if nested else flat


def _sum_to_days(lines: ir.Table, tags: dict[str, str]) -> ir.Table:
    keys = ["charge_period_start", *(key for key in aws_cur.KEYS if key in lines.columns), *tags.values()]
    measured = lines.select(*keys, **aws_cur.measures(lines))
    sums = {name: measured[name].sum() for name in measured.columns if name not in keys}
    return measured.group_by(keys).aggregate(line_items=measured.count(), **sums)


def name_as_focus(daily: ir.Table, tags: dict[str, str], window: Window, label_keys: Sequence[str]) -> ir.Table:
    """Return rows of `cloud_billing` from what `sum_to_days` returns."""
    absent = [key for key in aws_cur.KEYS if key not in daily.columns]
    daily = daily.mutate(**{key: ibis.null().cast("string") for key in absent})
    reservation, savings_plan = _present(daily.reservation_arn), _present(daily.savings_plan_arn)
    daily = daily.mutate(
        zero=ibis.literal(0).cast(COST),
        reservation_arn=reservation,
        savings_plan_arn=savings_plan,
        resource_id=daily.resource_id.fill_null(""),
        rule=ibis.ifelse((daily.charge_type == "Fee") & reservation.notnull(), "ReservationFee", daily.charge_type),
    )
    cluster = _cluster(daily, tags)

    def tag(key: str) -> ir.StringValue:
        return daily[tags[key]] if key in tags else ibis.null().cast("string")

    labels = {label_column(key): tag(key) for key in label_keys}
    costs = {name: _cost(daily, name) for name in COST_NAMES if name != "invoiced_cost"}
    columns: dict[str, ir.Value] = {
        "provider_name": ibis.literal("AWS"),
        "billing_period_start": ibis.date(billing_period(window)[0]),
        "charge_category": _by_rule(daily, "charge_category"),
        "charge_class": ibis.null().cast("string"),
        "pricing_category": _pricing_category(daily),
        "commitment_discount_id": ibis.coalesce(daily.savings_plan_arn, daily.reservation_arn),
        "commitment_discount_category": ibis.cases(
            (daily.savings_plan_arn.notnull(), "Spend"), (daily.reservation_arn.notnull(), "Usage")
        ),
        "commitment_discount_status": _commitment_status(daily, costs["effective_cost"]),
        **costs,
        "invoiced_cost": daily.unblended,
        "provider_id": aws_cur.provider_id(daily),
        "category": aws_cur.category(daily),
        "is_kubernetes": _is_kubernetes(daily, tags, cluster),
        "cluster": cluster,
        "kubernetes_service": tag(aws_cur.SERVICE_TAG),
        "persistent_volume": tag(aws_cur.VOLUME_TAG),
        "tags": as_json(daily, tags),
        "missing_cost_lines": _cost(daily, "missing"),
        **labels,
    }
    kept = {name: daily[name] for name in CLOUD_BILLING.names if name not in columns}
    named = {
        "date": clamp(daily.charge_period_start, window),
        **kept,
        **columns,
        "resource_id": daily.resource_id.nullif(""),
    }
    schema = CLOUD_BILLING.schema()
    ordered = ["date", *CLOUD_BILLING.names, *labels]
    return daily.select(**{n: named[n].cast(schema[n]) if n in schema else named[n] for n in ordered})


def _present(column: ir.StringValue) -> ir.StringValue:
    return column.nullif("").nullif("None")


def _by_rule(daily: ir.Table, attribute: str) -> ir.StringValue:
    rules = {**aws_cur.RULES, "ReservationFee": aws_cur.RESERVATION_FEE}
    branches = [(daily.rule == name, str(getattr(rule, attribute))) for name, rule in rules.items()]
    return ibis.cases(*branches, else_=str(getattr(aws_cur.UNKNOWN_TYPE, attribute)))


def _cost(daily: ir.Table, cost: str) -> ir.Value:
    """Return the measure that the rule of each row names for `cost`; types that share a measure share a branch."""
    rules = {**aws_cur.RULES, "ReservationFee": aws_cur.RESERVATION_FEE}
    default = getattr(aws_cur.UNKNOWN_TYPE, cost)
    types_by_measure: dict[str, list[str]] = {}
    for name, rule in rules.items():
        types_by_measure.setdefault(getattr(rule, cost), []).append(name)
    branches = [
        (daily.rule.isin(types), daily[measure].fill_null(0))
        for measure, types in types_by_measure.items()
        if measure != default
    ]
    return ibis.cases(*branches, else_=daily[default].fill_null(0)) if branches else daily[default].fill_null(0)


def _commitment_status(daily: ir.Table, effective_cost: ir.Value) -> ir.StringValue:
    used = [name for name, rule in aws_cur.RULES.items() if rule.commitment_status == "Used"]
    unused = [name for name, rule in aws_cur.RULES.items() if rule.commitment_status == "Unused"]
    return ibis.cases((daily.rule.isin(used), "Used"), (daily.rule.isin(unused) & (effective_cost != 0), "Unused"))


def _pricing_category(daily: ir.Table) -> ir.StringValue:
    covered = [name for name, rule in aws_cur.RULES.items() if rule.commitment_status == "Used"]
    usage = [name for name, rule in aws_cur.RULES.items() if rule.charge_category == "Usage"]
    return ibis.cases(
        (daily.rule.isin(covered), "Committed"),
        (daily.sku_meter.contains("SpotUsage"), "Dynamic"),
        (daily.rule.isin(usage), "Standard"),
    )


def _cluster(daily: ir.Table, tags: dict[str, str]) -> ir.StringValue:
    owned = [
        ibis.ifelse(daily[column].isin(["owned", "shared"]), key.removeprefix(aws_cur.OWNED_TAG_PREFIX), None)
        for key, column in tags.items()
        if key.startswith(aws_cur.OWNED_TAG_PREFIX)
    ]
    named = [daily[tags[key]] for key in aws_cur.CLUSTER_TAGS if key in tags]
    return ibis.coalesce(*named, *owned, aws_cur.cluster_of_arn(daily))


def _is_kubernetes(daily: ir.Table, tags: dict[str, str], cluster: ir.StringValue) -> ir.BooleanValue:
    found = cluster.notnull()
    for key in aws_cur.KUBERNETES_TAGS:
        if key in tags:
            found = found | daily[tags[key]].notnull()
    return found


def residual(named: ir.Table) -> ir.Table:
    """Return one row per day and account for what `billed_cost` lacks of the invoice, where it lacks anything.

    It completes the rows of `normalise`, and is mostly empty. Savings Plan covered usage and its negation are both
    billed at nothing, and cancel on the invoice; where they do not (a negation that comes on another day), the
    difference stays visible here instead of being lost.
    """
    keys = ["date", "billing_period_start", "billing_account_id", "sub_account_id", "billing_currency", "provider_name"]
    gap = named.group_by(keys).aggregate(billed_cost=named.invoiced_cost.sum() - named.billed_cost.sum())
    gap = gap.filter(gap.billed_cost != 0)
    fixed: dict[str, ir.Value] = {
        "charge_category": ibis.literal("Adjustment"),
        "charge_type": ibis.literal(RESIDUAL),
        "service_name": ibis.literal("AWS"),
        "category": ibis.literal("Other"),
        "is_kubernetes": ibis.literal(False),
        "charge_period_start": gap.date,
        "line_items": ibis.literal(0),
        "missing_cost_lines": ibis.literal(0),
        **{name: ibis.literal(0) for name in COST_NAMES if name != "billed_cost"},
    }
    schema = named.schema()
    values = {name: gap[name] if name in gap.columns else fixed.get(name, ibis.null()) for name in schema}
    return gap.select(**{name: value.cast(schema[name]) for name, value in values.items()})
