"""Attaching: which asset each workload used, and how volumes and load balancers are shared by those that did.

An allocation lists its volumes and load balancers (`pvs`, `load_balancers`); an entry finds its asset by name, else by
id. A volume is shared by byte-hours: those of the disk, so that the time in which nothing mounted it stays unmounted. A
load balancer is shared by the hours of use, all of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_

import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.tables import RECONCILED_ALLOCATIONS

BASES = ("billed", "recent", "list")
"""`cost_basis`, the most certain first."""

WHOLE = 1 - 1e-6
"""A disk mounted for this share of its byte-hours was mounted all the time: both figures are rounded."""


def rank(cost_basis: ir.StringValue) -> ir.IntegerValue:
    """Return the place of a basis in `BASES`: the greater, the less certain."""
    return ibis.cases(*((cost_basis == name, number) for number, name in enumerate(BASES)), else_=len(BASES) - 1)


def basis(place: ir.IntegerValue) -> ir.StringValue:
    """Return the basis at a place of `BASES`."""
    return ibis.cases(*((place == number, name) for number, name in enumerate(BASES)))


def find_assets(rows: ir.Table, assets: ir.Table, keys: Mapping[str, str]) -> ir.Table:
    """Add `asset_id`: the asset of the day that shares a key with the row; null when none does.

    Args:
        rows: `date` and the columns that `keys` names.
        assets: rows of `asset_costs`.
        keys: column of `rows` -> column of `assets`, the surest first. Of two assets with one key, the first by id
            counts.
    """
    found = []
    for number, (of_row, of_asset) in enumerate(keys.items()):
        known = assets.filter(assets[of_asset].nullif("").notnull())
        names = {f"date_{number}": known.date, f"key_{number}": known[of_asset]}
        lookup = known.group_by(**names).aggregate(**{f"asset_{number}": known.asset_id.min()})
        rows = rows.left_join(
            lookup, [rows.date == lookup[f"date_{number}"], rows[of_row] == lookup[f"key_{number}"]]
        ).drop(f"date_{number}", f"key_{number}")
        found.append(f"asset_{number}")
    return rows.mutate(asset_id=ibis.coalesce(*(rows[name] for name in found))).drop(*found)


@dataclass(frozen=True)
class Kind:
    """One kind of asset that allocations list: where, by which amount it is shared, and how much of that it has."""

    name: str
    entries: str
    amount: str
    capacity: str | None
    keys: Mapping[str, str]


VOLUMES = Kind("pv", "pvs", "byte_hours", "byte_hours", {"name": "volume", "provider_id": "provider_id"})
LOAD_BALANCERS = Kind("load_balancer", "load_balancers", "hours", None, {"service": "name", "ip": "provider_id"})


@dataclass(frozen=True)
class Attachments:
    """Assets of one kind, priced, and what each workload pays for those that it used.

    `assets`: rows of `asset_costs`, with `unused_amount` (byte-hours or hours), `unused_estimate` and `unused_cost`:
    what no entry pays for.
    `by_row`: `date`, `row`, `<kind>_total`, `<kind>_rank`, and `priced_<entries>`, the entries with their `adjustment`.
    """

    kind: Kind
    assets: ir.Table
    by_row: ir.Table

    def join(self, rows: ir.Table) -> ir.Table:
        """Replace the entries of workloads by priced ones, and add `<kind>_total` and `<kind>_rank`."""
        name = self.kind.name
        mine = self.by_row.rename({f"{name}_date": "date", f"{name}_row": "row"})
        rows = rows.left_join(mine, [rows.date == mine[f"{name}_date"], rows.row == mine[f"{name}_row"]])
        return rows.drop(f"{name}_date", f"{name}_row")


def list_entries(kind: Kind, narrow: ir.Table) -> ir.Table:
    """Return one row per entry of the workloads' list: `date`, `row`, `position` and the entry's own columns."""
    entries = narrow[kind.entries]
    used = narrow.filter(entries.length() > 0)
    # `Table.unnest` would join each list with its row; this is a tenth of the work.
    numbered = used[kind.entries].zip(ibis.range(0, used[kind.entries].length()))
    flat = used.select("date", "row", numbered=numbered.unnest())
    entry, position = flat.numbered["f1"], flat.numbered["f2"]
    return flat.select("date", "row", position=position, **{name: entry[name] for name in entry.type().names})


def attach(kind: Kind, assets: ir.Table, entries: ir.Table) -> Attachments:
    """Share assets by what the workloads say they used.

    Args:
        kind: `VOLUMES` or `LOAD_BALANCERS`.
        assets: rows of `asset_costs` of that kind.
        entries: what `list_entries` returns, with `asset_id`.
    """
    used = entries.filter(entries.asset_id.notnull())
    used = used.group_by(used_date=used.date, used_asset=used.asset_id).aggregate(
        used=used[kind.amount].sum(), users=used.count(), estimate=used.cost.sum()
    )
    priced = assets.left_join(used, [assets.date == used.used_date, assets.asset_id == used.used_asset])
    priced = priced.mutate(
        used=priced.used.fill_null(0.0), users=priced.users.fill_null(0), estimate=priced.estimate.fill_null(0.0)
    ).drop("used_date", "used_asset")
    capacity = priced[kind.capacity].fill_null(0.0) if kind.capacity else ibis.literal(0.0)
    is_measured = priced.used > 0
    # Whoever mounted it without a figure shares it equally, all of it; so does everybody who shares a load balancer.
    whole = ibis.ifelse(is_measured & (priced.used < capacity * WHOLE), capacity, priced.used)
    whole = ibis.ifelse(is_measured, whole, priced.users.cast("float64"))
    priced = priced.mutate(
        is_measured=is_measured,
        rate=(priced.total_cost / whole.nullif(0.0)).fill_null(0.0),
        unused_share=ibis.cases(
            (priced.users == 0, 1.0), (is_measured, (whole - priced.used) / whole.nullif(0.0)), else_=0.0
        ),
        unused_amount=ibis.ifelse(priced.users == 0, capacity, ibis.ifelse(is_measured, whole - priced.used, 0.0)),
        unused_estimate=ibis.greatest(priced.cost - priced.estimate, 0.0),
    )
    priced = priced.mutate(unused_cost=priced.total_cost * priced.unused_share)
    return Attachments(kind, priced, _pay(kind, priced, entries))


def _pay(kind: Kind, assets: ir.Table, entries: ir.Table) -> ir.Table:
    """Return what each workload pays for its entries; an entry without an asset has nothing that it could cost."""
    rates = assets.select(
        "rate", "is_measured", asset_rank=rank(assets.cost_basis), rate_date=assets.date, rate_asset=assets.asset_id
    )
    paid = entries.left_join(rates, [entries.date == rates.rate_date, entries.asset_id == rates.rate_asset])
    share = ibis.ifelse(paid.is_measured, paid[kind.amount], 1.0)
    paid = paid.mutate(target=(share * paid.rate).fill_null(0.0))
    paid = paid.mutate(adjustment=paid.target - paid.cost)
    fields = RECONCILED_ALLOCATIONS.schema()[kind.entries].value_type.names
    # Sorted as a whole, for an ordered aggregate takes three times as long.
    priced = ibis.struct({"position": paid.position, **{name: paid[name] for name in fields}}).collect().sort()
    return paid.group_by("date", "row").aggregate(
        **{
            f"{kind.name}_total": paid.target.sum(),
            f"{kind.name}_rank": paid.asset_rank.fill_null(len(BASES) - 1).max(),
            f"priced_{kind.entries}": priced.map(lambda one: ibis.struct({name: one[name] for name in fields})),
        }
    )


def find_own_disks(disks: ir.Table, nodes: ir.Table) -> ir.Table:
    """Add `is_own` to disks: whether it is a node's own (its system disk), which nobody claims.

    Such a disk carries its node's name or id, or the storage class that Kubecost gives it, and belongs to no claim.
    """
    by_key = {"name": "name", "provider_id": "provider_id"}
    found = find_assets(disks.rename(disk_id="asset_id"), nodes, by_key)
    marks = [found.asset_id.notnull(), (found.storage_class == "__local__").fill_null(False)]
    has_claim = found.volume_name.notnull() | found.claim_name.notnull()
    return found.mutate(is_own=reduce(or_, marks) & ~has_claim).drop("asset_id").rename(asset_id="disk_id")
