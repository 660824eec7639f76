"""External cost: cloud assets whose labels name a cluster's workload, and which workload that is."""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import reduce
from operator import or_

import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.bills.tags import read_object
from kubecost_pipelines.core.claiming import same_name
from kubecost_pipelines.core.label_mapping import CONTROLLER_KINDS, LabelMapping, key_forms
from kubecost_pipelines.core.tables import COST, ESTIMATE, EXTERNAL_COSTS, LABELS, RECONCILED_ALLOCATIONS

_TARGET = ("cluster", "namespace", "controller", "controller_kind", "service", "pod", "container")
_RESOURCE = ("provider_key", "sub_account_id", "service_name", "resource_id", "provider_id", "billing_currency")
_FARGATE_POD = r"^arn:[^:]*:eks:[^:]*:[^:]*:pod/([^/]+)/([^/]+)/([^/]+)"
"""Cluster, namespace and pod: Fargate bills each pod by itself, and no node of the cluster stands for it."""


def labelled_costs(cloud_assets: Mapping[str, ir.Table], mapping: LabelMapping, cost_metric: str) -> ir.Table:
    """Return, per resource, what its labels name: the columns of `external_costs` but `is_matched`, with `date`.

    `charge` numbers the rows: compute them once before they are read twice.

    Args:
        cloud_assets: ProviderKey -> its rows of `cloud_assets`, with `date`.
        mapping: which labels name what.
        cost_metric: `effective`, `billed`, `list`, `contracted`, `amortized` or `net`.
    """
    tables = [_read_labels(provider_key, rows, mapping, cost_metric) for provider_key, rows in cloud_assets.items()]
    rows = tables[0].union(*tables[1:]) if len(tables) > 1 else tables[0]
    return rows.mutate(charge=ibis.row_number())


def _read_labels(provider_key: str, rows: ir.Table, mapping: LabelMapping, cost_metric: str) -> ir.Table:
    # Charges are many, kinds of labels few: sum first, then read the labels.
    is_named = [rows.tags.contains(f'"{key}"') for key in mapping.keys]
    rows = rows.filter(reduce(or_, (one.fill_null(False) for one in (*is_named, rows.resource_id.contains(":pod/")))))
    summed = rows.group_by("date", *_RESOURCE[1:], "tags").aggregate(
        billed_cost=rows.billed_cost.sum(),
        effective_cost=rows.effective_cost.sum(),
        exact_cost=rows[f"{cost_metric}_cost"].sum(),
    )
    found = summed.mutate(tag_map=read_object(summed.tags))
    names = {name: _value(found, keys) for name, keys in mapping.names.items()}
    kinds = [(names[kind].notnull(), kind) for kind in CONTROLLER_KINDS if kind in names]
    null = ibis.null().cast("string")
    controllers = [names[name] for name in ("controller", *CONTROLLER_KINDS) if name in names]
    texts = {name: names.get(name, null) for name in ("cluster", "namespace", "service", "pod", "container")}
    for group, name in enumerate(("cluster", "namespace", "pod"), start=1):
        texts[name] = ibis.coalesce(found.resource_id.re_extract(_FARGATE_POD, group).nullif(""), texts[name])
    is_pod = found.resource_id.re_search(_FARGATE_POD).fill_null(False)
    pairs = {label: _value(found, keys) for label, keys in mapping.labels.items()}
    used = [_key(found, keys) for keys in (*mapping.names.values(), *mapping.labels.values())]
    used.append(ibis.ifelse(is_pod, "resource_id", None))
    labels = _as_map(pairs)
    named = found.mutate(
        **texts,
        controller=ibis.coalesce(*controllers) if controllers else null,
        controller_kind=ibis.cases(*kinds) if kinds else null,
        labels=labels,
        matched_label=ibis.array(used).filter(lambda key: key.notnull()).join(", "),
        provider_key=ibis.literal(provider_key),
    )
    return named.filter(named.matched_label != "").select(
        "date", *_TARGET, "labels", "matched_label", *_RESOURCE, "billed_cost", "effective_cost", "exact_cost"
    )


def _value(rows: ir.Table, keys: str) -> ir.StringValue:
    return ibis.coalesce(*(rows.tag_map.get(key).nullif("") for key in key_forms(keys)))


def _key(rows: ir.Table, keys: str) -> ir.StringValue:
    return ibis.cases(*((rows.tag_map.get(key).nullif("").notnull(), key) for key in key_forms(keys)))


def _as_map(pairs: Mapping[str, ir.StringValue]) -> ir.MapValue:
    if not pairs:
        return ibis.null().cast(LABELS)
    keys = ibis.array([ibis.ifelse(value.notnull(), label, None) for label, value in pairs.items()])
    values = ibis.array(list(pairs.values()))
    return ibis.map(keys.filter(lambda key: key.notnull()), values.filter(lambda value: value.notnull()))


def names_of(allocations: ir.Table, labels: Sequence[str]) -> ir.Table:
    """Return everything that ran under some name: what external costs are matched with.

    Args:
        allocations: rows of `allocations` with `date`, of any clusters.
        labels: the labels of workloads that the mapping has.

    Returns:
        `date`, `cluster`, `what` (`pod`, `label:team`, …), `name`, `namespace`, `controller_kind` and `weight`, the
        estimated cost of what ran under it.
    """
    ran = allocations.filter(allocations.namespace.notnull() & ~allocations.namespace.startswith("__"))
    services = ran.select("date", "cluster", "namespace", "controller_kind", "total_cost", name=ran.services.unnest())
    tables = [
        _names(ran, "cluster", ran.cluster),
        _names(ran, "namespace", ran.namespace),
        _names(ran, "controller", ran.controller),
        _names(ran, "pod", ran.pod),
        _names(ran, "container", ran.container),
        _names(services, "service", services.name),
        *(_names(ran, f"label:{label}", ran.labels.get(label)) for label in labels),
    ]
    return tables[0].union(*tables[1:])


def _names(rows: ir.Table, what: str, name: ir.StringValue) -> ir.Table:
    read = ("date", "cluster", "namespace", "controller_kind", "total_cost")
    keyed = rows.select(*read, what=ibis.literal(what), name=name)
    keyed = keyed.filter(keyed.name.nullif("").notnull())
    keys = ("date", "cluster", "what", "name", "namespace", "controller_kind")
    return keyed.group_by(keys).aggregate(weight=keyed.total_cost.sum())


def match_external(
    labelled: ir.Table, names: ir.Table, labels: Sequence[str], clusters: Sequence[str] = ()
) -> ir.Table:
    """Return the rows of `external_costs`, with `date`: each charge at the clusters where what it names ran.

    A charge that names no cluster, and a workload that ran in several, is split over them by what the workload cost
    there; the shares add up to it to the last decimal. One that names nothing that ran stays whole, at the cluster that
    it names in any spelling.

    Args:
        labelled: what `labelled_costs` returns.
        names: what `names_of` returns.
        labels: the labels of workloads that the mapping has.
        clusters: the names of our clusters.
    """
    spelt = [(same_name(labelled.cluster) == same_name(ibis.literal(one)), one) for one in clusters]
    charges = labelled.mutate(cluster=ibis.cases(*spelt, else_=labelled.cluster)) if spelt else labelled
    specific = [
        *((charges[name].notnull(), name, charges[name]) for name in ("pod", "container", "controller", "service")),
        (charges.namespace.notnull(), "namespace", charges.namespace),
        *((charges.labels.get(one).notnull(), f"label:{one}", charges.labels.get(one)) for one in labels),
        (charges.cluster.notnull(), "cluster", None),
    ]
    charges = charges.mutate(
        what=ibis.cases(*((is_named, what) for is_named, what, _ in specific)),
        what_name=ibis.cases(
            *((is_named, same_name(charges.cluster) if value is None else value) for is_named, _, value in specific)
        ),
    )
    found = names.select(
        "weight",
        name_date=names.date,
        name_what=names.what,
        name_name=ibis.ifelse(names.what == "cluster", same_name(names.name), names.name),
        found_cluster=names.cluster,
        found_namespace=names.namespace,
        found_kind=names.controller_kind,
    )
    joined = charges.inner_join(
        found,
        [
            charges.date == found.name_date,
            charges.what == found.name_what,
            charges.what_name == found.name_name,
            charges.cluster.isnull() | (same_name(charges.cluster) == same_name(found.found_cluster)),
            charges.namespace.isnull() | (charges.namespace == found.found_namespace),
            charges.controller_kind.isnull() | (charges.controller_kind == found.found_kind.lower()),
        ],
    )
    shares = joined.group_by("charge", "found_cluster").aggregate(weight=joined.weight.sum())
    of_charge = ibis.window(group_by="charge")
    whole, count = shares.weight.sum().over(of_charge), shares.count().over(of_charge)
    shares = shares.select(
        "found_cluster",
        share_of="charge",
        share=ibis.ifelse(whole > 0, shares.weight / whole.nullif(0.0), 1 / count),
        place=ibis.row_number().over(ibis.window(group_by="charge", order_by="found_cluster")),
    )
    split = charges.left_join(shares, charges.charge == shares.share_of)
    return _split(split, ("billed_cost", "effective_cost", "exact_cost"))


def _split(rows: ir.Table, costs: Sequence[str]) -> ir.Table:
    """Split costs by `share`; the first cluster takes what rounding leaves, so that the parts are the whole."""
    is_first = rows["place"].fill_null(0) == 0
    share = rows.share.fill_null(1.0)
    parts = {n: ibis.ifelse(is_first, 0, (rows[n].cast(ESTIMATE) * share).cast(COST)).cast(COST) for n in costs}
    rows = rows.mutate(**{f"part_{name}": part for name, part in parts.items()}, is_first=is_first)
    of_charge = ibis.window(group_by="charge")
    exact = {
        name: ibis.ifelse(
            rows.is_first, rows[name] - rows[f"part_{name}"].sum().over(of_charge), rows[f"part_{name}"]
        ).cast(COST)
        for name in costs
    }
    rows = rows.mutate(**exact, cluster=ibis.coalesce(rows.found_cluster, rows.cluster))
    rows = rows.mutate(cost=rows.exact_cost.cast(ESTIMATE), is_matched=rows.found_cluster.notnull())
    schema = EXTERNAL_COSTS.schema()
    return rows.select("date", **{name: rows[name].cast(type_) for name, type_ in schema.items()})


def external_rows(external: ir.Table, last_settled: date) -> ir.Table:
    """Return the rows of `reconciled_allocations` that one cluster's external costs are, with `date`.

    Args:
        external: rows of `external_costs` of one cluster, with `date`.
        last_settled: the last day that is settled.
    """
    mark = "__external__"
    parts = ibis.array([external.namespace, external.controller, external.service, external.pod, external.container])
    name = parts.filter(lambda part: part.notnull()).join("/").nullif("")
    schema = RECONCILED_ALLOCATIONS.schema()
    amounts = {n: 0.0 for n, type_ in schema.items() if type_.is_float64() and "efficiency" not in n}
    values: dict[str, ir.Value] = {
        **{name: ibis.literal(amount) for name, amount in amounts.items()},
        **{name: external[name] for name in ("cluster", "controller", "controller_kind", "pod", "labels")},
        "name": external.cluster + "/" + (name + "/").fill_null("") + mark,
        "namespace": external.namespace.fill_null(mark),
        "container": external.container.fill_null(mark),
        "provider_id": ibis.coalesce(external.provider_id, external.resource_id),
        "services": ibis.array([external.service]).filter(lambda one: one.notnull()),
        "external_cost": external.cost,
        "total_cost": external.cost,
        "currency": external.billing_currency,
        "allocation_type": ibis.literal("external"),
        "is_reconciled": ibis.literal(True),
        "is_settled": external.date <= ibis.literal(last_settled),
        "cost_basis": ibis.literal("billed"),
        **{name: ibis.literal([], type=schema[name]) for name in ("pvs", "load_balancers")},
    }
    found = {name: values.get(name, ibis.null()).cast(type_) for name, type_ in schema.items()}
    return external.select("date", **found)
