"""Claiming: which in-cluster asset each bill row belongs to.

Matching is exact, after the bill has been summed to resources: no substring, no suffix, no empty key, so that
`worker-1` never takes a cent of `worker-10`. A bill row belongs to at most one asset (but what a scale set shares is
split first); a row that nothing claims is out-of-cluster cost.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.tables import COST, COST_NAMES, ESTIMATE

Key = Callable[[ir.Table], ir.StringValue]


@dataclass(frozen=True)
class MatchRule:
    """One way in which an asset and a bill row name the same thing.

    `of_asset` and `of_bill` give the key, null where there is none. The rule knows assets of `asset_type` and rows of
    `category`, or all of them. `reveals` is the type of the new asset that the row is evidence of (a node's traffic),
    when it is not the claiming asset itself.
    """

    name: str
    of_asset: Key
    of_bill: Key
    asset_type: str | None = None
    category: str | None = None
    reveals: str | None = None


def _joined(*parts: ir.Value) -> ir.StringValue:
    """Return `a/b`; null when a part is null or empty. Case never distinguishes two resources (Azure mixes it)."""
    key = parts[0].nullif("").lower()
    for part in parts[1:]:
        key = key + "/" + part.nullif("").lower()
    return key


def same_name(name: ir.StringValue) -> ir.StringValue:
    """Return a cluster's name as tags of every form agree on it: Athena writes `prod-eks-1` as `prod_eks_1`."""
    return name.lower().re_replace("[^a-z0-9]+", "_")


MATCH_ROUNDS = (
    (
        MatchRule(
            "provider_id",
            of_asset=lambda asset: _joined(asset.provider_id, asset.category),
            of_bill=lambda bill: _joined(bill.provider_id, bill.category),
        ),
    ),
    (
        MatchRule(
            "node_network",
            asset_type="Node",
            of_asset=lambda asset: _joined(asset.provider_id),
            category="Network",
            of_bill=lambda bill: _joined(bill.provider_id),
            reveals="Network",
        ),
        MatchRule(
            "persistent_volume",
            asset_type="Disk",
            of_asset=lambda asset: _joined(asset.volume_name),
            category="Storage",
            of_bill=lambda bill: _joined(ibis.coalesce(bill.persistent_volume, bill.provider_id)),
        ),
        MatchRule(
            "cluster_name",
            asset_type="ClusterManagement",
            of_asset=lambda asset: _joined(asset.account, same_name(asset.cluster)),
            category="Management",
            of_bill=lambda bill: _joined(bill.sub_account_id, same_name(bill.cluster)),
        ),
    ),
    (
        MatchRule(
            "service_tag",
            asset_type="LoadBalancer",
            of_asset=lambda asset: _joined(same_name(asset.cluster), asset.name),
            category="Network",
            of_bill=lambda bill: _joined(same_name(bill.cluster), bill.kubernetes_service),
        ),
    ),
)
"""The rules, in the order in which they are asked: the first that finds an asset wins. The rules of one round know
different types of assets and different categories of rows, so that one join asks them all."""

MATCH_RULES = tuple(rule for rules in MATCH_ROUNDS for rule in rules)

MATCH_COLUMNS = ("provider_id", "category", "cluster", "kubernetes_service", "persistent_volume", "sub_account_id")
"""The columns of the bill that the rules read."""


def claim(bill: ir.Table, assets: ir.Table) -> ir.Table:
    """Return the bill with the asset that claims each row.

    Args:
        bill: rows of `cloud_billing`, with `date`.
        assets: rows of `asset_inventory`, with `date`.

    Returns:
        `bill` with `asset_id` (null where nothing claims the row), `match_rule` and `reveals`.
    """
    rounds = range(len(MATCH_ROUNDS))
    claimed = bill
    # One chain of joins, and one projection: each layer more takes Ibis as long to compile as DuckDB to run.
    for number, rules in enumerate(MATCH_ROUNDS):
        owners = _owners(assets, rules)
        found = owners.select(**{f"{name}_{number}": owners[name] for name in owners.columns})
        rule, key = _rule_and_key(bill.category, [(one.category, one.name, one.of_bill(bill)) for one in rules])
        claimed = claimed.left_join(
            found,
            [bill.date == found[f"date_{number}"], rule == found[f"rule_{number}"], key == found[f"key_{number}"]],
        )
    rule = ibis.coalesce(*(claimed[f"rule_{number}"] for number in rounds))
    return claimed.select(
        *bill.columns,
        asset_id=ibis.coalesce(*(claimed[f"owner_{number}"] for number in rounds)),
        match_rule=rule,
        reveals=ibis.cases(*((rule == one.name, one.reveals) for one in MATCH_RULES if one.reveals)),
    )


def _owners(assets: ir.Table, rules: Sequence[MatchRule]) -> ir.Table:
    """Return one asset per rule, key and day; of two that claim one key, the costlier (then the first by id)."""
    rule, key = _rule_and_key(assets.asset_type, [(one.asset_type, one.name, one.of_asset(assets)) for one in rules])
    keyed = assets.select("date", "asset_id", "cost", rule=rule, key=key)
    keyed = keyed.filter(keyed["key"].notnull())
    costliest = keyed.asset_id.first(order_by=[ibis.desc(keyed.cost), keyed.asset_id])
    return keyed.group_by("date", "rule", "key").aggregate(owner=costliest)


def _rule_and_key(
    kind: ir.StringValue, rules: Sequence[tuple[str | None, str, ir.StringValue]]
) -> tuple[ir.StringValue, ir.StringValue]:
    """Return the name of the rule that knows this kind of asset or row, and its key; null where none does."""
    if [one for one, _, _ in rules] == [None]:
        [(_, name, key)] = rules
        return ibis.literal(name), key
    return ibis.cases(*((kind == one, name) for one, name, _ in rules)), ibis.cases(
        *((kind == one, key) for one, _, key in rules)
    )


def number_rows(claims: ir.Table) -> ir.Table:
    """Add `bill_row`. Keep the result: computed a second time, the numbers may fall on other rows."""
    return claims.mutate(bill_row=ibis.row_number())


SHARED_RULE = "scale_set"
"""`match_rule` of a row that the machines of one scale set share."""


def share_scale_sets(claims: ir.Table, assets: ir.Table) -> ir.Table:
    """Split what Azure bills to a scale set as a whole over its machines: disks and traffic, by the machines' cost.

    Storage goes to the machines' own disks, Network to the machines, as their traffic. The one exception to one asset
    per bill row: each share is a row of its own, and the shares of a row are the row, to the last decimal (the
    first machine takes what rounding leaves). A row whose scale set no cluster knows stays unclaimed.

    Returns:
        The claims, with `bill_rows`: 1, or 0 for the shares of a row after its first.

    Args:
        claims: the bill with who claims each row, as `claim` returns it, and `number_rows` has numbered it.
        assets: rows of `asset_inventory`, with `date`.
    """
    names = [name for name in claims.columns if name != "bill_row"]
    kinds = ibis.cases((assets.asset_type == "Node", "Network"), (assets.asset_type == "Disk", "Storage"))
    machines = assets.select(
        owner_date=assets.date, owner=assets.asset_id, weight=assets.cost, scale_set=_scale_set(assets), kind=kinds
    )
    machines = machines.filter(machines.scale_set.notnull() & machines.kind.notnull())
    joined = claims.filter(claims.asset_id.isnull()).inner_join(
        machines,
        [
            claims.date == machines.owner_date,
            claims.provider_id.lower() == machines.scale_set,
            claims.category == machines.kind,
        ],
    )
    row = ibis.window(group_by="bill_row")
    total, count = joined.weight.sum().over(row), joined.owner.count().over(row)
    shares = joined.mutate(
        share=ibis.ifelse(total > 0, joined.weight / total, 1 / count),
        place=ibis.row_number().over(ibis.window(group_by="bill_row", order_by="owner")),
    )
    is_first = shares["place"] == 0
    # Decimals: a share is a rounded product, and the first is the row less the others.
    split = {name: (shares[name].cast(ESTIMATE) * shares.share).cast(COST) for name in COST_NAMES if name in names}
    shares = shares.mutate(
        **{f"part_{name}": ibis.ifelse(is_first, 0, part).cast(COST) for name, part in split.items()}
    )
    others = {name: shares[f"part_{name}"].sum().over(row) for name in split}
    is_first = shares["place"] == 0
    costs = {
        name: ibis.ifelse(is_first, shares[name] - rest, shares[f"part_{name}"]).cast(COST)
        for name, rest in others.items()
    }
    shared = shares.mutate(
        **costs,
        bill_rows=is_first.cast("int64"),
        asset_id=shares.owner,
        match_rule=ibis.literal(SHARED_RULE),
        reveals=ibis.ifelse(shares.kind == "Network", "Network", None),
    )
    kept = claims.anti_join(shared, "bill_row").mutate(bill_rows=ibis.literal(1).cast("int64"))
    return kept.select(*names, "bill_rows").union(shared.select(*names, "bill_rows"))


def _scale_set(assets: ir.Table) -> ir.StringValue:
    """Return the scale set of a machine, or of the disk that its system is on (`<scale set>00000b_osdisk`)."""
    of_node = assets.provider_id.re_extract(r"/virtualmachinescalesets/([^/]+)/", 1)
    of_disk = assets.provider_id.re_extract(r"/disks/(.+-vmss)[0-9a-z]{6}_osdisk$", 1)
    return ibis.coalesce(of_node.nullif(""), of_disk.nullif(""))
