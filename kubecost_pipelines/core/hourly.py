"""Hourly: each row of a day's workload costs, spread over the hours in which it was used.

What a day cost is decided by `reconciled_allocations`; here nothing is priced again. A workload's share of an hour is
that of its own use (core-hours, byte-hours, bytes), a node's idle what that hour left of it. Every row keeps its
total: Σ of its hours is the day, to the rounding of floats.
"""

from functools import reduce
from operator import add

import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.allocating import HOURS, workloads
from kubecost_pipelines.core.tables import ADJUSTED_RESOURCES, RECONCILED_ALLOCATIONS_HOURLY

SECONDS = 3600
TOLERANCE = 1e-6
"""What a day's hours may differ from the day, in the currency: floats, rounded a million times."""


def use_by_hour(hourly: ir.Table) -> ir.Table:
    """Return how much each workload used in each hour: what its costs are spread by.

    Args:
        hourly: rows of `allocations_hourly`, with `date`.

    Returns:
        `date`, `hour`, `name`, `node_key`, `minutes`, and one amount per resource, named as it.
    """
    rows = workloads(hourly)
    amounts = {
        **{name: rows[hours] for name, hours in HOURS.items()},
        "pv": rows.pv_byte_hours,
        "network": rows.network_transfer_bytes + rows.network_receive_bytes,
        "load_balancer": rows.load_balancer_cost,
    }
    keys = {"hour": rows.start.epoch_seconds() // SECONDS % 24, "node_key": _node_key(rows)}
    grouped = rows.group_by(rows.date, rows.name, **keys)
    return grouped.aggregate(minutes=rows.minutes.sum(), **{name: value.sum() for name, value in amounts.items()})


def place_in_hours(daily: ir.Table, used: ir.Table) -> ir.Table:
    """Return the hours of each row of a day, with the weight of each in what the row costs.

    A workload that the cluster's hours do not know, and what no workload used, is placed by the time that it was there.

    Args:
        daily: rows of `reconciled_allocations`, with `date` and `row`.
        used: what `use_by_hour` returns, computed once.

    Returns:
        `date`, `row`, `hour`, `minutes`, and one weight per resource, named as it.
    """
    ran = daily.filter(daily.allocation_type == "workload").select("date", "row", "name")
    known = used.rename(used_date="date", used_name="name")
    seen = ran.inner_join(known, [ran.date == known.used_date, ran.name == known.used_name])
    # A server that tells no minutes was there all the hour.
    seen = seen.mutate(minutes=ibis.ifelse(seen.minutes > 0, seen.minutes, 60.0))
    idle = daily.filter(daily.allocation_type == "idle")
    others = daily.filter(daily.allocation_type != "idle").anti_join(seen, ["date", "row"])
    return _weighed(seen).union(_weighed(_hours_of(others)), _weighed(_idle_hours(idle, daily, used)))


def spread_over_hours(daily: ir.Table, placed: ir.Table) -> ir.Table:
    """Return the rows of `reconciled_allocations_hourly`, with `date`.

    Args:
        daily: rows of `reconciled_allocations`, with `date` and `row`.
        placed: what `place_in_hours` returns, computed once.
    """
    names = ("minutes", *ADJUSTED_RESOURCES)
    sums = {f"whole_{name}": placed[name].sum() for name in names}
    whole = placed.group_by(whole_date=placed.date, whole_row=placed["row"]).aggregate(**sums)
    weights = placed.select(
        "hour", place_date="date", place_row="row", **{f"part_{name}": placed[name] for name in names}
    )
    rows = weights.inner_join(whole, [weights.place_date == whole.whole_date, weights.place_row == whole.whole_row])
    rows = rows.inner_join(daily, [rows.place_date == daily.date, rows.place_row == daily["row"]])
    by_time = rows.part_minutes / rows.whole_minutes
    shares = {
        name: ibis.ifelse(rows[f"whole_{name}"] > 0, rows[f"part_{name}"] / rows[f"whole_{name}"].nullif(0.0), by_time)
        for name in ADJUSTED_RESOURCES
    }
    amounts: dict[str, ir.Value] = {
        "minutes": rows.part_minutes,
        **{hours: rows[hours] * shares[name] for name, hours in HOURS.items()},
        "pv_byte_hours": rows.pv_byte_hours * shares["pv"],
        **{name: rows[name] * shares["network"] for name in ("network_transfer_bytes", "network_receive_bytes")},
    }
    costs = {
        **{
            f"{name}_{end}": rows[f"{name}_{end}"] * share
            for name, share in shares.items()
            for end in ("cost", "cost_adjustment")
        },
        **{name: rows[name] * by_time for name in ("shared_cost", "external_cost")},
    }
    values = {**amounts, **costs, "total_cost": reduce(add, costs.values())}
    schema = RECONCILED_ALLOCATIONS_HOURLY.schema()
    return rows.select("date", **{name: values.get(name, rows[name]).cast(type_) for name, type_ in schema.items()})


def unknown_hours(daily: ir.Table, used: ir.Table) -> ir.Table:
    """Return the workloads with a cost of which the cluster's hours know nothing: `date`, `name`, `total_cost`."""
    ran = daily.filter((daily.allocation_type == "workload") & (daily.total_cost != 0))
    return ran.anti_join(used, ["date", "name"]).select("date", "name", "total_cost")


def hour_gaps(daily: ir.Table, sums: ir.Table) -> ir.Table:
    """Return where the hours do not add up to the day: `date`, `namespace`, `allocation_type`, `cost`, `gap`.

    Args:
        daily: rows of `reconciled_allocations`, with `date`.
        sums: those of `reconciled_allocations_hourly`, or sums of them over these columns.
    """
    keys = ("date", "namespace", "allocation_type")
    both = daily.select(*keys, cost=daily.total_cost, of_hours=0.0).union(
        sums.select(*keys, cost=ibis.literal(0.0), of_hours=sums.total_cost)
    )
    summed = both.group_by(keys).aggregate(cost=both.cost.sum(), gap=both.of_hours.sum() - both.cost.sum())
    return summed.filter(~(summed.gap.abs() <= TOLERANCE))


def summarise_hours(rows: ir.Table) -> ir.Table:
    """Return sums of rows of `reconciled_allocations_hourly`: what a file says of itself, and its checks read."""
    costs = {name: rows[name].sum() for name in rows.columns if name.endswith(("_cost", "_adjustment"))}
    return rows.group_by("date", "hour", "namespace", "allocation_type").aggregate(rows=rows.count(), **costs)


def _node_key(rows: ir.Table) -> ir.StringValue:
    """Return what tells a node from others of the cluster: its provider id, since names return."""
    return ibis.coalesce(rows.provider_id.nullif(""), rows.node)


def _hours_of(rows: ir.Table) -> ir.Table:
    """Return `date`, `row`, `hour`, `minutes`: the hours in which a row was there; all of them where none is told."""
    midnight = rows.date.cast("timestamp").epoch_seconds()
    begin = ibis.greatest((rows.start.epoch_seconds() - midnight).fill_null(0), 0)
    finish = ibis.least((rows.end.epoch_seconds() - midnight).fill_null(24 * SECONDS), 24 * SECONDS)
    is_told = finish > begin
    spans = rows.select(
        "date",
        "row",
        begin=ibis.ifelse(is_told, begin, 0),
        finish=ibis.ifelse(is_told, finish, 24 * SECONDS),
        hour=ibis.range(24).unnest(),
    )
    seconds = ibis.least(spans.finish, (spans.hour + 1) * SECONDS) - ibis.greatest(spans.begin, spans.hour * SECONDS)
    spans = spans.select("date", "row", "hour", minutes=seconds / 60)
    return spans.filter(spans.minutes > 0)


def _idle_hours(idle: ir.Table, daily: ir.Table, used: ir.Table) -> ir.Table:
    """Return the hours of the idle rows: what a node has by the hour, without what its workloads used in it."""
    ran = daily.filter(daily.allocation_type == "workload")
    by_day = ran.group_by(day_date=ran.date, day_node=_node_key(ran)).aggregate(
        **{f"day_{name}": ran[hours].sum() for name, hours in HOURS.items()}
    )
    by_hour = used.group_by(hour_date=used.date, hour_node=used.node_key, hour_hour=used.hour).aggregate(
        **{f"hour_{name}": used[name].sum() for name in HOURS}
    )
    left = idle.select("date", "row", node_key=_node_key(idle), **{f"left_{n}": idle[h] for n, h in HOURS.items()})
    found = _hours_of(idle).inner_join(left, ["date", "row"])
    found = found.left_join(by_day, [found.date == by_day.day_date, found.node_key == by_day.day_node])
    found = found.left_join(
        by_hour,
        [
            found.date == by_hour.hour_date,
            found.node_key == by_hour.hour_node,
            found.hour == by_hour.hour_hour,
        ],
    )
    part = found.minutes / found.minutes.sum().over(ibis.window(group_by=("date", "row")))
    has = {name: (found[f"left_{name}"] + found[f"day_{name}"].fill_null(0.0)) * part for name in HOURS}
    return found.mutate(
        **{name: ibis.greatest(has[name] - found[f"hour_{name}"].fill_null(0.0), 0.0) for name in HOURS}
    )


def _weighed(rows: ir.Table) -> ir.Table:
    zero = ibis.literal(0.0)
    weights = {name: rows[name] if name in rows.columns else zero for name in ADJUSTED_RESOURCES}
    return rows.select(
        "date",
        "row",
        hour=rows.hour.cast("int64"),
        minutes=rows.minutes.cast("float64"),
        **{name: weight.cast("float64").fill_null(0.0) for name, weight in weights.items()},
    )
