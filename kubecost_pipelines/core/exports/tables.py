"""What the UI shows of exports: their columns, and what each is made from."""

from kubecost_pipelines.core.exports.drop_in import COLUMNS, DropInColumn
from kubecost_pipelines.core.tables import RECONCILED_ALLOCATIONS, Column, Table

_DESCRIPTIONS = {column.name: (column.description, column.unit) for column in RECONCILED_ALLOCATIONS.columns}
_FIXED = {
    "window.start": "Start of the day, UTC",
    "window.end": "End of the day, UTC",
    "properties.provider": "AWS, GCP or Azure where the row has a node",
    "properties.cluster": "The cluster's name for itself",
    "properties.clusterid": "ARN of the cluster, or what the settings say",
    "properties.eksClusterName": "Name of the cluster",
}


def _describe(column: DropInColumn) -> Column:
    source = column.sources[0] if column.kind in ("text", "number") else ""
    text, unit = _DESCRIPTIONS.get(source, (_FIXED.get(column.name, ""), ""))
    if column.kind == "label":
        text = f"Label {' or '.join(f'`{key}`' for key in column.sources)}"
        source = "labels"
    tables = ("reconciled_allocations", "allocations")
    return Column(column.name, column.glue_type, text, unit, tuple(f"{table}.{source}" for table in tables if source))


ALLOCATION_EXPORT = Table(
    name="allocation_export",
    description="Parquet of a cluster's day for Athena and QuickSight. These are the columns of the drop-in layout; "
    "the chosen labels and annotations follow. The native layout has all columns of its source.",
    grain="cluster × day × what `export.aggregation` says",
    key="cluster",
    columns=tuple(map(_describe, COLUMNS)),
)

GLUE_PARTITIONS = Table(
    name="glue_partitions",
    description="What Athena sees of that export: its partitions in AWS Glue, registered in the same run.",
    grain="cluster × day × table",
    key="cluster",
    columns=(
        Column("table", "string", "`database.table` in Glue"),
        Column("partition", "string", "Values of the partition's keys"),
        Column("location", "string", "Folder that the partition reads"),
        Column("state", "string", "`registered`, `moved`, `widened` (by a label), `unchanged` or `projected`"),
    ),
)

EXPORT_TABLES = (ALLOCATION_EXPORT, GLUE_PARTITIONS)
