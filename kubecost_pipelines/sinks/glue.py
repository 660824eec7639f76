"""Glue: the database, tables and partitions through which Athena reads the files; no crawler.

What is there already is left alone: a column is only ever added, at the end, so that older partitions stay readable
and a table that Terraform or the exporter before us made keeps its own words.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from kubecost_pipelines.aws import open_client, open_session
from kubecost_pipelines.core.exports.drop_in import drop_in_columns
from kubecost_pipelines.core.exports.keys import (
    DROP_IN_PARTITIONS,
    NATIVE_PARTITIONS,
    drop_in_folder,
    drop_in_key,
    native_folder,
    native_key,
)
from kubecost_pipelines.core.exports.native import glue_columns, native_tables
from kubecost_pipelines.core.tables import Table
from kubecost_pipelines.settings import ClusterSettings, ExportSettings, GlueSettings
from kubecost_pipelines.sinks.athena import ask
from kubecost_pipelines.sinks.buckets import Bucket
from kubecost_pipelines.sinks.errors import ExportError, in_aws_words
from kubecost_pipelines.sinks.exporter import DROP_IN, cost_column

BATCH = 100
"""Most partitions that Glue takes at once."""

_FORMAT = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
}
_TABLE_INPUT = ("Name", "Description", "Owner", "Retention", "StorageDescriptor", "PartitionKeys", "TableType",
                "Parameters", "ViewOriginalText", "ViewExpandedText")  # fmt: skip
"""What UpdateTable takes of what GetTable gives."""


@dataclass(frozen=True)
class GlueTable:
    """One table as it should be: columns are (name, type) in Glue's words."""

    name: str
    file: str
    columns: Sequence[tuple[str, str]]
    partition_keys: tuple[str, ...]
    parameters: dict[str, str]


@dataclass(frozen=True)
class Registered:
    """What became of one partition."""

    table: str
    values: tuple[str, ...]
    location: str
    state: str


@dataclass(frozen=True)
class Counted:
    """What Athena sees of one file."""

    table: str
    key: str
    rows: int
    total_cost: float


class GlueCatalog:
    """The tables of one export.

    Args:
        export: where the files are, and which.
        glue: the tables.
        source: the table that is exported.
        bucket: where the files are.
        clusters: all of them, for projected partitions.
    """

    def __init__(
        self,
        export: ExportSettings,
        glue: GlueSettings,
        source: Table,
        bucket: Bucket,
        clusters: Sequence[ClusterSettings],
    ) -> None:
        self._export, self._glue, self._source, self._bucket = export, glue, source, bucket
        self._clusters = clusters

    def tables(self) -> list[GlueTable]:
        """Return the tables of the configured layouts."""
        found = []
        if DROP_IN in self._export.layouts:
            columns = [
                (one.glue_name, one.glue_type) for one in drop_in_columns(self._export.labels, self._export.annotations)
            ]
            found.append(GlueTable(self._glue.table, DROP_IN, columns, DROP_IN_PARTITIONS, self._drop_in_projection()))
        if "native" in self._export.layouts:
            for file, schema in native_tables(self._source).items():
                name = self._glue.native_table + ("" if file == "allocations" else f"_{file}")
                parameters = self._native_projection(file)
                found.append(GlueTable(name, file, glue_columns(schema), NATIVE_PARTITIONS, parameters))
        return found

    def register(self, cluster: ClusterSettings, days: Sequence[date]) -> list[Registered]:
        """Let Athena see these days: make or widen the tables, and register or move their partitions.

        Raises:
            ExportError: Glue refuses.
        """
        with in_aws_words(f"register {self._glue.database} in AWS Glue"):
            self._ensure_database()
            registered: list[Registered] = []
            for table in self.tables():
                described = self._ensure_table(table)
                wanted = dict.fromkeys(self._partition(table, cluster, day) for day in days)
                if described.get("Parameters", {}).get("projection.enabled") == "true":
                    registered += [Registered(table.name, values, place, "projected") for values, place in wanted]
                else:
                    registered += self._ensure_partitions(table, described, list(wanted))
        return registered

    def count(self, cluster: ClusterSettings, day: date) -> list[Counted]:
        """Ask Athena what it sees of each of a day's files; each query reads one object.

        Raises:
            ExportError: the query failed.
        """
        with in_aws_words(f"count {day} of {cluster.name} in Athena"):
            return [self._count(table, cluster, day) for table in self.tables()]

    def _count(self, table: GlueTable, cluster: ClusterSettings, day: date) -> Counted:
        key = drop_in_key(cluster.exported, day) if table.file == DROP_IN else native_key(cluster.name, day, table.file)
        values, _ = self._partition(table, cluster, day)
        conditions = [f"\"{name}\" = '{value}'" for name, value in zip(table.partition_keys, values, strict=True)]
        conditions.append(f"\"$path\" = '{self._bucket.uri(key)}'")
        query = (
            f"SELECT count(*) AS row_count, sum({cost_column(table.file, self._export).lower()}) AS total_cost "
            f'FROM "{self._glue.database}"."{table.name}" WHERE {" AND ".join(conditions)}'
        )
        rows, cost = ask(
            self._client("athena"), query, database=self._glue.database,
            workgroup=self._glue.workgroup, results=self._glue.results,
        )  # fmt: skip
        return Counted(table.name, key, int(rows), float(cost or 0.0))

    @cached_property
    def _session(self) -> Any:
        return open_session(self._export.identity)

    def _client(self, service: str) -> Any:
        region = self._glue.region or self._session.region_name
        if not region:
            raise ExportError("AWS Glue: no region. Set `export.glue.region` or `export.identity.region`.")
        return open_client(self._session, service, self._export.identity, region)

    @cached_property
    def _catalog(self) -> Any:
        return self._client("glue")

    @property
    def _where(self) -> dict[str, str]:
        return {"CatalogId": self._glue.catalog_id} if self._glue.catalog_id else {}

    def _unless_there(self, create: Callable[..., object], **what: Any) -> None:
        """Create something; that somebody else just did so is as good."""
        with suppress(self._catalog.exceptions.AlreadyExistsException):
            create(**what, **self._where)

    def _ensure_database(self) -> None:
        try:
            self._catalog.get_database(Name=self._glue.database, **self._where)
        except self._catalog.exceptions.EntityNotFoundException:
            self._unless_there(self._catalog.create_database, DatabaseInput={"Name": self._glue.database})

    def _ensure_table(self, table: GlueTable) -> dict[str, Any]:
        known = self._get_table(table)
        if known is None:
            self._unless_there(
                self._catalog.create_table,
                DatabaseName=self._glue.database,
                TableInput=self._table_input(table),
            )
            known = self._get_table(table) or {}
        if self._adapt(known, table):
            wanted = {name: known[name] for name in _TABLE_INPUT if name in known}
            self._catalog.update_table(DatabaseName=self._glue.database, TableInput=wanted, **self._where)
        return known

    def _get_table(self, table: GlueTable) -> dict[str, Any] | None:
        try:
            found = self._catalog.get_table(DatabaseName=self._glue.database, Name=table.name, **self._where)
        except self._catalog.exceptions.EntityNotFoundException:
            return None
        return dict(found["Table"])

    def _adapt(self, known: dict[str, Any], table: GlueTable) -> bool:
        """Add what the table lacks: columns at the end, and projection when it is asked for."""
        keys = [key["Name"] for key in known.get("PartitionKeys", [])]
        if keys != list(table.partition_keys):
            raise ExportError(
                f"AWS Glue: {self._glue.database}.{table.name} is partitioned by {', '.join(keys) or 'nothing'}, the "
                f"files by {', '.join(table.partition_keys)}. Give `export.glue` another table name."
            )
        is_widened = _widen(known["StorageDescriptor"]["Columns"], table.columns)
        parameters = known.setdefault("Parameters", {})
        changed = {
            name: value
            for name, value in table.parameters.items()
            if name.startswith(("projection.", "storage.")) and parameters.get(name) != value
        }
        parameters.update(changed)
        return is_widened or bool(changed)

    def _table_input(self, table: GlueTable) -> dict[str, Any]:
        return {
            "Name": table.name,
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet", **table.parameters},
            "PartitionKeys": [{"Name": key, "Type": "string"} for key in table.partition_keys],
            "StorageDescriptor": _storage(table.columns, self._bucket.uri("")),
        }

    def _partition(self, table: GlueTable, cluster: ClusterSettings, day: date) -> tuple[tuple[str, ...], str]:
        if table.file == DROP_IN:
            who = cluster.exported
            folder = drop_in_folder(who, day)
            return (who.account, who.region, f"{day:%Y}", f"{day:%m}"), self._bucket.uri(f"{folder}/")
        return (cluster.name, str(day)), self._bucket.uri(f"{native_folder(cluster.name, day, table.file)}/")

    def _ensure_partitions(
        self, table: GlueTable, described: dict[str, Any], wanted: Sequence[tuple[tuple[str, ...], str]]
    ) -> list[Registered]:
        columns = [(column["Name"], column["Type"]) for column in described["StorageDescriptor"]["Columns"]]
        states = []
        for some in _chunks(wanted, BATCH):
            inputs = [{"Values": list(values), "StorageDescriptor": _storage(columns, place)} for values, place in some]
            errors = self._catalog.batch_create_partition(
                DatabaseName=self._glue.database, TableName=table.name, PartitionInputList=inputs, **self._where
            ).get("Errors", [])
            refused = {tuple(error["PartitionValues"]): error["ErrorDetail"] for error in errors}
            for (values, place), made in zip(some, inputs, strict=True):
                detail = refused.get(values)
                state = "registered" if detail is None else self._settle(table, values, place, made, detail)
                states.append(Registered(table.name, values, place, state))
        return states

    def _settle(
        self, table: GlueTable, values: tuple[str, ...], place: str, wanted: dict[str, Any], detail: dict[str, str]
    ) -> str:
        """Leave a partition that is there already as it is, but for its place and for columns that it lacks."""
        if detail.get("ErrorCode") != "AlreadyExistsException":
            raise ExportError(f"AWS Glue: {table.name} {values}: {detail.get('ErrorMessage', detail)}. Run again.")
        name = {"DatabaseName": self._glue.database, "TableName": table.name, **self._where}
        known = self._catalog.get_partition(PartitionValues=list(values), **name)["Partition"]
        if known["StorageDescriptor"].get("Location", "").rstrip("/") != place.rstrip("/"):
            self._catalog.update_partition(PartitionValueList=list(values), PartitionInput=wanted, **name)
            return "moved"
        columns = known["StorageDescriptor"]["Columns"]
        if not _widen(columns, [(one["Name"], one["Type"]) for one in wanted["StorageDescriptor"]["Columns"]]):
            return "unchanged"
        widened = {part: known[part] for part in ("Values", "StorageDescriptor", "Parameters") if part in known}
        self._catalog.update_partition(PartitionValueList=list(values), PartitionInput=widened, **name)
        return "widened"

    def _drop_in_projection(self) -> dict[str, str]:
        who = [cluster.exported for cluster in self._clusters]
        return self._projection(
            {
                "account_id": _enum(one.account for one in who),
                "region": _enum(one.region for one in who),
                "year": {"type": "integer", "range": "2020,2100", "digits": "4"},
                "month": {"type": "integer", "range": "1,12", "digits": "2"},
            },
            "account_id=${account_id}/region=${region}/year=${year}/month=${month}/",
        )

    def _native_projection(self, file: str) -> dict[str, str]:
        return self._projection(
            {
                "cluster": _enum(cluster.name for cluster in self._clusters),
                "date": {"type": "date", "format": "yyyy-MM-dd", "range": "2020-01-01,NOW", "interval.unit": "DAYS"},
            },
            f"cluster=${{cluster}}/date=${{date}}/{file}/",
        )

    def _projection(self, keys: dict[str, dict[str, str]], template: str) -> dict[str, str]:
        if not self._glue.projection:
            return {}
        described = {f"projection.{key}.{name}": value for key, how in keys.items() for name, value in how.items()}
        return {
            "projection.enabled": "true",
            **described,
            "storage.location.template": self._bucket.uri("") + template,
        }


def _storage(columns: Iterable[tuple[str, str]], location: str) -> dict[str, Any]:
    return {"Columns": [{"Name": name, "Type": type_} for name, type_ in columns], "Location": location, **_FORMAT}


def _widen(columns: list[dict[str, str]], wanted: Iterable[tuple[str, str]]) -> bool:
    """Add the columns that are missing, at the end; say whether there were any."""
    names = {column["Name"].lower() for column in columns}
    missing = [{"Name": name, "Type": type_} for name, type_ in wanted if name.lower() not in names]
    columns.extend(missing)
    return bool(missing)


def _enum(values: Iterable[str]) -> dict[str, str]:
    return {"type": "enum", "values": ",".join(sorted(set(values)))}


def _chunks(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[at : at + size] for at in range(0, len(items), size)]
