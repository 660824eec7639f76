"""The native layout: everything that we know of an allocation, by cluster and day.

Volumes and load balancers are tables of their own, so that their cost can be summed without unnesting; labels and
annotations are maps, and what is unknown is null. `account_id` and `region` are the cluster's, in every row.
"""

from typing import Any

import pyarrow as pa
import pyarrow.compute

from kubecost_pipelines.core.exports.identity import ExportedCluster
from kubecost_pipelines.core.tables import Table

pc: Any = pyarrow.compute

CHILDREN = {"volumes": "pvs", "load_balancers": "load_balancers"}
"""Child table -> the column of allocations that holds its rows."""

_NAMES = {"volumes": {"name": "volume"}, "load_balancers": {"name": "load_balancer"}}
_OF_PARENT = ("name", "namespace", "pod")
_OF_CLUSTER = pa.schema([("account_id", pa.string()), ("region", pa.string())])


def native_tables(source: Table) -> dict[str, pa.Schema]:
    """Return the schema of each file of a day, by table: `cluster` and `date` are in the path and not in the file."""
    schema = source.arrow_schema()
    own = [field for field in schema if field.name not in ("cluster", *CHILDREN.values())]
    parents = pa.schema([*own, *_OF_CLUSTER])
    return {"allocations": parents, **{child: _child_schema(schema, child) for child in CHILDREN}}


def to_native(rows: pa.RecordBatch, source: Table, cluster: ExportedCluster) -> dict[str, pa.RecordBatch]:
    """Return allocations as rows of each table; what child tables say of their parent is in `name`."""
    made = {}
    for table, schema in native_tables(source).items():
        if table == "allocations":
            known = [rows.column(name) for name in schema.names if name not in _OF_CLUSTER.names]
            where = [pa.repeat(pa.scalar(value), rows.num_rows) for value in (cluster.account, cluster.region)]
            made[table] = pa.RecordBatch.from_arrays([*known, *where], schema=schema)
            continue
        entries = rows.column(CHILDREN[table])
        parents = pc.list_parent_indices(entries)
        columns = [rows.column(name).take(parents) for name in _OF_PARENT] + pc.list_flatten(entries).flatten()
        made[table] = pa.RecordBatch.from_arrays(columns, schema=schema)
    return made


def glue_columns(schema: pa.Schema) -> list[tuple[str, str]]:
    """Return the columns as Glue writes them."""
    return [(field.name, _glue_type(field.type)) for field in schema]


def _child_schema(schema: pa.Schema, child: str) -> pa.Schema:
    entries: Any = schema.field(CHILDREN[child]).type
    of_parent = [schema.field(name) for name in _OF_PARENT]
    own = [pa.field(_NAMES[child].get(field.name, field.name), field.type) for field in entries.value_type]
    return pa.schema([*of_parent, *own])


def _glue_type(type_: Any) -> str:
    if pa.types.is_map(type_):
        return f"map<{_glue_type(type_.key_type)},{_glue_type(type_.item_type)}>"
    if pa.types.is_list(type_):
        return f"array<{_glue_type(type_.value_type)}>"
    if pa.types.is_timestamp(type_):
        return "timestamp"
    return {pa.string(): "string", pa.float64(): "double", pa.int64(): "bigint", pa.bool_(): "boolean"}[type_]
