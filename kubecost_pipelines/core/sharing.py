"""Sharing: who pays for idle and shared cost, asked of one table that has given nothing away yet.

Every alternative is zero-sum: what is taken from one row is given to others of the same group, and the total does not
move. What nobody is there to take stays where it is. Functions take rows of `reconciled_allocations`, with `date`, or
sums of them over any columns, as long as what they read is still there: the grain is theirs to keep.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add, or_
from typing import Literal, get_args

import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.allocating import HOURS
from kubecost_pipelines.core.tables import ADJUSTED_RESOURCES
from kubecost_pipelines.core.window import HOURS_PER_MONTH

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


@dataclass(frozen=True)
class Pool:
    """Cost that rows of a group give, and others of it take.

    Attributes:
        gives: what each row gives; 0 where it gives nothing.
        weights: by what each row takes, never negative; the next where that is nothing in all of the group.
        added: what each group has to take besides; the same on all of its rows.
    """

    gives: ir.NumericValue
    weights: tuple[ir.NumericValue, ...]
    added: ir.NumericValue = field(default_factory=lambda: ibis.literal(0.0))


def share(rows: ir.Table, policy: SharingPolicy) -> ir.Table:
    """Return the rows after everything that a policy asks for.

    Idle and overhead go by what each row costs before: neither pays for the other. Shared workloads come after, so
    that theirs goes with them.

    Args:
        rows: `date`, `cluster`, `allocation_type`, costs, and what the policy goes by: `node`, `namespace`, `labels`.
        policy: what to share, and how.
    """
    if policy.share_tenancy_costs:
        rows = divide(rows, ("date", "cluster"), {"tenancy": tenancy_pool(rows, split=policy.share_split)})
    rows = share_idle(rows, policy.share_idle)
    if policy.share_tenancy_costs:
        rows = _add_shared(rows, rows.allocation_type == "shared", rows.tenancy).drop("tenancy")
    chosen: list[IsShared] = []
    if policy.share_namespaces:
        chosen.append(in_namespaces(policy.share_namespaces))
    if policy.share_labels:
        chosen.append(with_labels(policy.share_labels))
    if chosen:
        rows = share_costs(rows, lambda found: reduce(or_, (choose(found) for choose in chosen)), policy.share_split)
    day = policy.share_cost * 24 / HOURS_PER_MONTH
    return share_flat_cost(rows, ibis.literal(day), policy.share_split) if day else rows


IDLE_WITHIN: Mapping[IdleSharing, tuple[str, ...]] = {
    "node": ("date", "cluster", "node"),
    "cluster": ("date", "cluster"),
    "namespace": ("date", "cluster"),
}
"""Among whom idle is shared."""


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
    is_idle = rows.allocation_type == "idle"
    weights = _idle_weights(rows, by, is_reconciled=True)
    costs = {f"{name}_cost{end}": name for name in HOURS for end in ("", "_adjustment")}
    pools = {
        f"taken_{column}": Pool(ibis.ifelse(is_idle, rows[column], 0.0), weights[name])
        for column, name in costs.items()
    }
    rows = divide(rows, IDLE_WITHIN[by], pools)
    is_idle = rows.allocation_type == "idle"
    taken = {column: rows[f"taken_{column}"] for column in costs}
    given = ibis.ifelse(is_idle, reduce(add, (rows[column] for column in costs)), 0.0)
    is_given = is_idle & (reduce(add, (amount.abs() for amount in taken.values())) == 0)
    after = {column: ibis.ifelse(is_idle, 0.0, rows[column]) + amount for column, amount in taken.items()}
    total = rows.total_cost - given + reduce(add, taken.values())
    return rows.filter(~is_given).mutate(**after, total_cost=total).drop(*pools)


def idle_pools(rows: ir.Table, by: IdleSharing, *, is_reconciled: bool) -> dict[str, Pool]:
    """Return the idle cost of each resource, adjusted or as estimated, as pools that workloads take."""
    is_idle = rows.allocation_type == "idle"
    weights = _idle_weights(rows, by, is_reconciled=is_reconciled)
    return {
        name: Pool(ibis.ifelse(is_idle, _cost(rows, name, is_reconciled=is_reconciled), 0.0), weights[name])
        for name in HOURS
    }


def tenancy_pool(rows: ir.Table, *, is_reconciled: bool = True, split: Split = "weighted") -> Pool:
    """Return the overhead of clusters (management fees, the nodes' own disks) as a pool that workloads take."""
    total = rows.total_cost
    if not is_reconciled:
        total = total - reduce(add, (rows[f"{name}_cost_adjustment"] for name in ADJUSTED_RESOURCES))
    gives = ibis.ifelse(rows.allocation_type == "shared", total, 0.0)
    return Pool(gives, _weights(rows.allocation_type == "workload", total, split))


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
    chosen = is_shared(rows)
    takes = (rows.allocation_type == "workload") & ~chosen
    pool = Pool(ibis.ifelse(chosen, rows.total_cost, 0.0), _weights(takes, rows.total_cost, split))
    rows = divide(rows, within, {"taken": pool})
    return _add_shared(rows, is_shared(rows), rows.taken).drop("taken")


def share_flat_cost(
    rows: ir.Table, cost: ir.NumericValue, split: Split = "weighted", within: Sequence[str] = ("date",)
) -> ir.Table:
    """Return the rows with a flat cost in `shared_cost` of the workloads of each group, where anything ran at all.

    The one alternative that adds cost: the total of a group grows by exactly `cost`, the same on all of its rows.
    """
    weights = _weights(rows.allocation_type == "workload", rows.total_cost, split)
    rows = divide(rows, within, {"taken": Pool(ibis.literal(0.0), weights, added=cost)})
    return _add_shared(rows, ibis.literal(False), rows.taken).drop("taken")


def divide(rows: ir.Table, within: Sequence[str], pools: Mapping[str, Pool]) -> ir.Table:
    """Return the rows with a column per pool: what each takes of it. Who gives what nobody takes has its own there.

    Args:
        rows: the columns of `within`; what has null there is in no group.
        within: columns of a group.
        pools: column -> pool, expressions of `rows`.
    """
    columns = dict[str, ir.Value]()
    names = dict[object, str]()

    def named(value: ir.NumericValue) -> str:
        # Pools have weights in common: each is summed once.
        name = names.setdefault(value.op(), f"in_{len(names)}")
        columns[name] = value
        return name

    parts = {
        column: (named(pool.gives), [named(weight) for weight in pool.weights], named(pool.added))
        for column, pool in pools.items()
    }
    rows = rows.mutate(**columns)
    keys = {f"of_{key}": rows[key] for key in within}
    sums = rows.group_by(**keys).aggregate(**{f"sum_{name}": rows[name].sum() for name in columns})
    rows = rows.left_join(sums, [rows[key] == sums[f"of_{key}"] for key in within])
    taken = {}
    for column, (gives, weights, added) in parts.items():
        pool = rows[f"sum_{gives}"] + rows[added]
        ways = [(rows[f"sum_{one}"] > 0, pool * rows[one] / rows[f"sum_{one}"]) for one in weights]
        taken[column] = ibis.cases(*ways, else_=rows[gives])
    return rows.mutate(**taken).drop(*keys, *columns, *(f"sum_{name}" for name in columns))


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


def _idle_weights(rows: ir.Table, by: IdleSharing, *, is_reconciled: bool) -> dict[str, tuple[ir.NumericValue, ...]]:
    """Return by what the idle cost of each resource is taken: that resource, or where nobody uses it all of them."""
    takes = rows.allocation_type == "workload"

    def weight(value: ir.NumericValue) -> ir.NumericValue:
        return ibis.ifelse(takes, ibis.greatest(value, 0.0), 0.0)

    costs = {name: _cost(rows, name, is_reconciled=is_reconciled) for name in HOURS}
    by_resource = {name: rows[hours] for name, hours in HOURS.items()} if by == "namespace" else costs
    whole = reduce(add, (weight(cost) for cost in costs.values()))
    return {name: (weight(by_resource[name]), whole) for name in HOURS}


def _cost(rows: ir.Table, resource: str, *, is_reconciled: bool) -> ir.NumericValue:
    cost: ir.NumericColumn = rows[f"{resource}_cost"]
    return cost + rows[f"{resource}_cost_adjustment"] if is_reconciled else cost


def _weights(takes: ir.BooleanValue, cost: ir.NumericValue, split: Split) -> tuple[ir.NumericValue, ...]:
    even = takes.fill_null(False).cast("float64")
    return (even * ibis.greatest(cost, 0.0), even) if split == "weighted" else (even,)


def _add_shared(rows: ir.Table, is_shared: ir.BooleanValue, taken: ir.NumericValue) -> ir.Table:
    """Add to each row what it takes; of the shared rows only those stay that nobody pays for."""
    return rows.mutate(
        shared_cost=rows.shared_cost + ibis.ifelse(is_shared, 0.0, taken),
        total_cost=ibis.ifelse(is_shared, 0.0, rows.total_cost) + taken,
    ).filter(~(is_shared & (taken == 0)))


SUMMED_BY = ("date", "cluster", "node", "namespace", "controller", "allocation_type", "is_settled", "is_reconciled")


def summarise(rows: ir.Table) -> ir.Table:
    """Return sums of rows of `reconciled_allocations`, fine enough for every way to share that goes by no label."""
    names = [name for name in rows.columns if name.endswith(("_cost", "_adjustment"))]
    sums = {name: rows[name].sum() for name in (*names, *HOURS.values())}
    return rows.group_by(SUMMED_BY).aggregate(rows=rows.count(), **sums)


POLICIES = {
    "node, weighted": SharingPolicy("node", share_tenancy_costs=True),
    "cluster, even": SharingPolicy("cluster", share_tenancy_costs=True, share_split="even"),
    "namespace, weighted": SharingPolicy("namespace", share_tenancy_costs=True),
}
"""What the check `distributions_are_zero_sum` tries on every day."""
