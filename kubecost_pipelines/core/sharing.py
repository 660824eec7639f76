"""Sharing: who pays for idle and shared cost, asked at query time of one table that has given nothing away yet.

Every alternative is zero-sum: what is taken from one row is given to others of the same day, and the total does not
move. What nobody is there to take stays where it is. Functions take rows of `reconciled_allocations`, with `date`, or
sums of them over any columns, as long as what they read is still there: the grain is theirs to keep.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add, or_
from typing import Literal, get_args

import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.allocating import HOURS

IdleSharing = Literal["keep", "node", "cluster", "namespace"]
Split = Literal["weighted", "even"]
IsShared = Callable[[ir.Table], ir.BooleanValue]


@dataclass(frozen=True)
class SharingPolicy:
    """What a query does with idle and shared cost; the names are those of the settings' block `allocation`."""

    share_idle: IdleSharing = "keep"
    share_tenancy_costs: bool = False
    share_namespaces: tuple[str, ...] = ()
    share_labels: tuple[str, ...] = ()
    share_cost: float = 0.0
    share_split: Split = "weighted"


def share(rows: ir.Table, policy: SharingPolicy) -> ir.Table:
    """Return the rows after everything that a policy asks for: idle first, so that shared workloads pay for theirs.

    Args:
        rows: `date`, `cluster`, `allocation_type`, costs, and what the policy goes by: `node`, `namespace`, `labels`.
        policy: what to share, and how.
    """
    rows = share_idle(rows, policy.share_idle)
    chosen: list[IsShared] = [_is_tenancy] if policy.share_tenancy_costs else []
    if policy.share_namespaces:
        chosen.append(in_namespaces(policy.share_namespaces))
    if policy.share_labels:
        chosen.append(with_labels(policy.share_labels))
    if chosen:
        rows = share_costs(rows, lambda found: reduce(or_, (choose(found) for choose in chosen)), policy.share_split)
    return share_flat_cost(rows, policy.share_cost, policy.share_split) if policy.share_cost else rows


def share_idle(rows: ir.Table, by: IdleSharing) -> ir.Table:
    """Return the rows with idle cost given to workloads, resource by resource.

    `node`: the idle of a node to those that ran on it, by what they cost. `cluster`: the idle of a cluster to all of
    its workloads, by what they cost. `namespace`: the same by the hours that they asked for, so that a namespace
    pays the same wherever it was scheduled. A resource that no workload uses (the GPUs of an empty GPU node's
    neighbour) goes by all of what they cost. A node without workloads keeps its idle under `node`.

    Args:
        rows: `date`, `cluster`, `allocation_type`, the costs of CPU, RAM and GPU, `total_cost`; `node` for `node`, the
            hours for `namespace`.
        by: who pays; `keep` changes nothing.

    Raises:
        ValueError: `by` is another word.
    """
    if by == "keep":
        return rows
    if by not in get_args(IdleSharing):
        raise ValueError(f"idle can be shared by {', '.join(get_args(IdleSharing))}, not by {by!r}")
    keys = ("date", "cluster", "node") if by == "node" else ("date", "cluster")
    takes = rows.allocation_type == "workload"
    costs = {name: rows[f"{name}_cost"] + rows[f"{name}_cost_adjustment"] for name in HOURS}
    by_resource = {name: rows[hours] for name, hours in HOURS.items()} if by == "namespace" else costs
    weights = {name: ibis.ifelse(takes, ibis.greatest(value, 0.0), 0.0) for name, value in by_resource.items()}
    overall = reduce(add, (ibis.ifelse(takes, ibis.greatest(value, 0.0), 0.0) for value in costs.values()))
    rows = rows.mutate(**{f"weight_{name}": weight for name, weight in weights.items()}, weight_all=overall)
    gives = rows.allocation_type == "idle"
    moved = [f"{name}_cost{end}" for name in HOURS for end in ("", "_adjustment")]
    pools = _pools(
        rows,
        keys,
        {
            **{f"whole_{name}": rows[f"weight_{name}"].sum() for name in (*HOURS, "all")},
            **{f"pool_{name}": ibis.ifelse(gives, rows[name], 0.0).sum() for name in moved},
        },
    )
    rows = _with_pools(rows, pools, keys)
    shares = {
        name: ibis.cases(
            (rows[f"whole_{name}"] > 0, rows[f"weight_{name}"] / rows[f"whole_{name}"]),
            (rows.whole_all > 0, rows.weight_all / rows.whole_all),
            else_=0.0,
        )
        for name in HOURS
    }
    rows = rows.filter(~((rows.allocation_type == "idle") & (rows.whole_all > 0).fill_null(False)))
    added = {f"{name}_cost{end}": (name, end) for name in HOURS for end in ("", "_adjustment")}
    given = {column: (shares[name] * rows[f"pool_{column}"]).fill_null(0.0) for column, (name, _) in added.items()}
    return _plain(
        rows.mutate(
            **{column: rows[column] + extra for column, extra in given.items()},
            total_cost=rows.total_cost + reduce(add, given.values()),
        )
    )


def _is_tenancy(rows: ir.Table) -> ir.BooleanValue:
    return rows.allocation_type == "shared"


def in_namespaces(namespaces: Sequence[str]) -> IsShared:
    """Choose what is in these namespaces."""
    return lambda rows: rows.namespace.isin(list(namespaces)).fill_null(False)


def with_labels(labels: Sequence[str]) -> IsShared:
    """Choose what has one of these labels, each `key:value`."""
    pairs = [label.partition(":") for label in labels]
    return lambda rows: reduce(or_, ((rows.labels.get(key) == value).fill_null(False) for key, _, value in pairs))


def share_costs(
    rows: ir.Table, is_shared: IsShared, split: Split = "weighted", within: Sequence[str] = ("date", "cluster")
) -> ir.Table:
    """Return the rows with the cost of the chosen ones moved into `shared_cost` of the other workloads.

    Args:
        rows: the columns of `within`, `allocation_type`, `shared_cost`, `total_cost`, and what `is_shared` reads.
        is_shared: which rows the others pay for.
        split: by what each row costs already, or evenly over the rows.
        within: what is shared among whom; without `cluster`, all clusters share.
    """
    rows = rows.mutate(is_shared=is_shared(rows))
    takes = (rows.allocation_type == "workload") & ~rows.is_shared
    rows = rows.mutate(**_weights(rows, takes, split))
    pools = _pools(rows, within, {**_wholes(rows), "pool": ibis.ifelse(rows.is_shared, rows.total_cost, 0.0).sum()})
    rows = _with_pools(rows, pools, within)
    rows = rows.filter(~(rows.is_shared & (rows.whole_count > 0).fill_null(False)))
    return _give(rows, rows.pool)


def share_flat_cost(rows: ir.Table, monthly_cost: float, split: Split = "weighted") -> ir.Table:
    """Return the rows with a flat cost per month in `shared_cost` of the workloads: each day its part of the month.

    The one alternative that adds cost: the day's total grows by exactly the day's part, where anything ran at all.
    """
    month_end = (rows.date.truncate("M") + ibis.interval(months=1)).cast("date")
    days = month_end.delta(rows.date.truncate("M").cast("date"), unit="day")
    rows = rows.mutate(flat=monthly_cost / days)
    rows = rows.mutate(**_weights(rows, rows.allocation_type == "workload", split))
    rows = _with_pools(rows, _pools(rows, ("date",), _wholes(rows)), ("date",))
    return _give(rows, rows.flat)


def zero_sum_gaps(before: ir.Table, after: ir.Table) -> ir.Table:
    """Return, per day, what a distribution has added to the total; it should be nothing.

    Returns:
        `date`, `cost` (before) and `gap`, where it is more than the rounding of floats.
    """
    first = before.group_by("date").aggregate(cost=before.total_cost.sum())
    second = after.group_by(after_date=after.date).aggregate(after_cost=after.total_cost.sum())
    both = first.outer_join(second, first.date == second.after_date)
    gap = both.after_cost.fill_null(0.0) - both.cost.fill_null(0.0)
    both = both.select(date=ibis.coalesce(both.date, both.after_date), cost=both.cost, gap=gap)
    return both.filter(both.gap.abs() > 1e-6 + 1e-12 * both.cost.abs().fill_null(0.0))


def _weights(rows: ir.Table, takes: ir.BooleanValue, split: Split) -> dict[str, ir.Value]:
    count = takes.fill_null(False).cast("float64")
    cost = ibis.greatest(rows.total_cost, 0.0) if split == "weighted" else ibis.literal(1.0)
    return {"weight": count * cost, "weight_count": count}


def _wholes(rows: ir.Table) -> dict[str, ir.Value]:
    return {"whole": rows.weight.sum(), "whole_count": rows.weight_count.sum()}


def _pools(rows: ir.Table, keys: Sequence[str], sums: dict[str, ir.Value]) -> ir.Table:
    return rows.group_by(**{f"of_{key}": rows[key] for key in keys}).aggregate(**sums)


def _with_pools(rows: ir.Table, pools: ir.Table, keys: Sequence[str]) -> ir.Table:
    return rows.left_join(pools, [rows[key] == pools[f"of_{key}"] for key in keys])


def _give(rows: ir.Table, pool: ir.FloatingValue) -> ir.Table:
    """Give a pool to rows by weight; evenly where the weights are all nothing."""
    part = ibis.cases(
        (rows.whole > 0, rows.weight / rows.whole), (rows.whole_count > 0, rows.weight_count / rows.whole_count)
    )
    given = (part * pool).fill_null(0.0)
    return _plain(rows.mutate(shared_cost=rows.shared_cost + given, total_cost=rows.total_cost + given))


def _plain(rows: ir.Table) -> ir.Table:
    ours = ("weight", "whole", "pool", "of_", "flat", "is_shared")
    return rows.drop(*(name for name in rows.columns if name.startswith(ours)))


SUMMED_BY = ("date", "cluster", "node", "namespace", "controller", "allocation_type", "is_settled", "is_reconciled")


def summarise(rows: ir.Table) -> ir.Table:
    """Return sums of rows of `reconciled_allocations`, fine enough for every way to share that goes by no label."""
    names = [name for name in rows.columns if name.endswith(("_cost", "_cost_adjustment"))]
    return rows.group_by(SUMMED_BY).aggregate(**{name: rows[name].sum() for name in (*names, *HOURS.values())})


POLICIES = {
    "node, weighted": SharingPolicy("node", share_tenancy_costs=True),
    "cluster, even": SharingPolicy("cluster", share_tenancy_costs=True, share_split="even"),
    "namespace, weighted": SharingPolicy("namespace", share_tenancy_costs=True),
}
"""What the check `distributions_are_zero_sum` tries on every day."""
