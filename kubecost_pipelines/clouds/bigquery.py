"""Google Cloud's detailed export in BigQuery: the table that Google itself fills.

BigQuery sums the lines to days and resources, by the same expressions that read files; only those rows travel.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from google.api_core.exceptions import NotFound
from google.cloud import bigquery
from ibis.backends.duckdb import Backend

from kubecost_pipelines.clouds import Bill, BillError, Connection, answer, fingerprint_of, name_bill, unreadable
from kubecost_pipelines.clouds.gcp_credentials import google_credentials, in_google_words
from kubecost_pipelines.clouds.keeping import keep
from kubecost_pipelines.core.bill_changes import Answer
from kubecost_pipelines.core.bills.gcp_export import FIELDS, check_fields, name_as_focus, sum_to_days
from kubecost_pipelines.core.bills.source import UnknownBillError
from kubecost_pipelines.core.connection_status import ConnectionEvent
from kubecost_pipelines.core.window import Window, midnight
from kubecost_pipelines.settings import CloudStoreSettings

PARTITION_TAIL = timedelta(days=2)
"""How long after its use Google may write a charge: that many more partitions are read, and no others."""

INGESTION_TIME = "_PARTITIONTIME"
EXPORT_TIME = "export_time"

TYPES = {
    "FLOAT": dt.float64, "FLOAT64": dt.float64, "INTEGER": dt.int64, "INT64": dt.int64, "DATE": dt.date,
    "NUMERIC": dt.Decimal(38, 9), "BIGNUMERIC": dt.Decimal(76, 38), "TIMESTAMP": dt.Timestamp("UTC"),
    "BOOLEAN": dt.boolean, "BOOL": dt.boolean,
}  # fmt: skip
"""BigQuery's types in ours; others are text, or are not read."""


@ibis.udf.scalar.builtin(name="TO_JSON_STRING")  # type: ignore[untyped-decorator]
def _to_json_string(value: dt.Array(dt.Struct({"key": dt.string, "value": dt.string}))) -> str:  # type: ignore[empty-body,valid-type]
    """Return a list of labels as text, for lists cannot be grouped by everywhere."""


class BigQueryStore:
    """Reads one project's billing table."""

    def __init__(self, settings: CloudStoreSettings, label_keys: Sequence[str], scratch: Path) -> None:
        self._settings = settings
        self._label_keys = label_keys
        self._scratch = scratch
        names = str(settings.table).rsplit(".", 2)
        self._table_id = ".".join([settings.id, *names][-3:])

    def read_billing(self, window: Window, engine: Backend) -> Bill:
        """See `CloudStore.read_billing`."""
        with self._in_google_words():
            client = self._open_client()
            table = client.get_table(self._table_id)
            daily = self._daily(table, window)
            rows = self._keep(self._run(client, table, daily).result(), daily.schema(), engine)
        inputs = {self._table_id: str(table.modified)}
        try:
            named = name_as_focus(rows, self._label_keys, partial(keep, engine))
        except duckdb.Error as error:
            raise unreadable(self._table_id, error) from error
        return Bill(named, inputs, source=self._table_id)

    def changes(self, window: Window, since: str, engine: Backend, limit_bytes: int) -> Answer:
        """See `CloudStore.changes`: asks for the newest `export_time`, one column of the days' partitions.

        Google only ever adds lines to its export, a correction too.
        """
        with self._in_google_words():
            client = self._open_client()
            table = client.get_table(self._table_id)
            lines = _within(_as_ibis(table, EXPORT_TIME), table, window)
            newest = lines[EXPORT_TIME].max() if EXPORT_TIME in lines.columns else ibis.literal(str(table.modified))
            [found] = self._run(client, table, lines.aggregate(lines=lines.count(), newest=newest)).result()
            size = self._run(client, table, self._daily(table, window), dry_run=True).total_bytes_processed
        fingerprint = fingerprint_of({"lines": str(found["lines"]), "newest": str(found["newest"])}) * bool(
            found["lines"]
        )
        return answer(fingerprint, since, size or 0, limit_bytes, lambda: self.read_billing(window, engine))

    def check_connection(self, today: date) -> Connection:  # noqa: ARG002 - the table has every month
        """See `CloudStore.check_connection`: looks at the table and its first row, which nobody is billed for."""
        with self._in_google_words():
            client = self._open_client()
            table = client.get_table(self._table_id)
            try:
                check_fields(_as_ibis(table))
            except UnknownBillError as error:
                raise BillError(f"{self._settings.title}: {self._table_id}: {error}") from error
            if table.num_rows or list(client.list_rows(table, max_results=1)):
                return Connection(ConnectionEvent.DATA, f"{self._table_id}: {table.num_rows} rows")
        return Connection(ConnectionEvent.EMPTY, f"{self._table_id} is empty")

    def _open_client(self) -> bigquery.Client:
        endpoint = self._settings.endpoint
        return bigquery.Client(
            project=self._settings.id,
            credentials=google_credentials(self._settings),
            client_options={"api_endpoint": endpoint} if endpoint else None,
        )

    def _run(
        self, client: bigquery.Client, table: bigquery.Table, rows: ir.Table, *, dry_run: bool = False
    ) -> bigquery.QueryJob:
        config = bigquery.QueryJobConfig(maximum_bytes_billed=self._settings.maximum_bytes_billed, dry_run=dry_run)
        return client.query(ibis.to_sql(rows, dialect="bigquery"), location=table.location, job_config=config)

    def _daily(self, table: bigquery.Table, window: Window) -> ir.Table:
        lines = _within(_as_ibis(table), table, window)
        if isinstance(lines.labels, ir.ArrayValue):
            project = {name: lines.project[name] for name in lines.project.names if name != "labels"}
            labels = _to_json_string(lines.project["labels"]) if "labels" in lines.project.names else ibis.null()
            lines = lines.mutate(
                labels=_to_json_string(lines.labels), project=ibis.struct({**project, "labels": labels.cast("string")})
            )
        try:
            return sum_to_days(lines, window)
        except UnknownBillError as error:
            raise BillError(f"{self._settings.title}: {self._table_id}: {error}") from error

    def _keep(self, rows: Any, schema: ibis.Schema, engine: Backend) -> ir.Table:
        """Write the answer to a file as it arrives: it may be larger than our memory."""
        file = self._scratch / f"{uuid4().hex}.parquet"
        wanted = schema.to_pyarrow()
        with pq.ParquetWriter(file, wanted) as writer:
            for batch in rows.to_arrow_iterable():
                columns = [batch.column(name).cast(wanted.field(name).type, safe=False) for name in wanted.names]
                writer.write_batch(pa.record_batch(columns, schema=wanted))
        return engine.read_parquet(file, table_name=name_bill(engine))

    def _in_google_words(self) -> AbstractContextManager[None]:
        return in_google_words(f"{self._settings.title}: {self._table_id}", _cure)


def _within(lines: ir.Table, table: bigquery.Table, window: Window) -> ir.Table:
    """Keep the partitions of the window's days, and of those after them in which their late lines are."""
    partition = _partition(table)
    if not partition:
        return lines
    until = window.end + PARTITION_TAIL
    column = lines[partition]
    # Compared with constants of its own type, or BigQuery would read every partition.
    first, last = (
        (ibis.date(window.start.date()), ibis.date(until.date()))
        if column.type().is_date()
        else (ibis.timestamp(midnight(window.start.date())), ibis.timestamp(until))
    )
    others = [name for name in lines.columns if name != partition]
    return lines.filter((column >= first) & (column < last)).select(*others)


def _as_ibis(table: bigquery.Table, *more: str) -> ir.Table:
    wanted = {*_ROOTS, *more, _partition(table)}
    schema = {field.name: _type(field) for field in table.schema if field.name in wanted}
    if _partition(table) == INGESTION_TIME:
        schema[INGESTION_TIME] = dt.Timestamp("UTC")
    return ibis.table(schema, name=table.table_id, catalog=table.project, database=table.dataset_id)


_ROOTS = {name.partition(".")[0] for name in FIELDS}


def _type(field: bigquery.SchemaField) -> dt.DataType:
    nested = field.field_type in ("RECORD", "STRUCT")
    one = (
        dt.Struct({member.name: _type(member) for member in field.fields})
        if nested
        else TYPES.get(field.field_type, dt.string)
    )
    return dt.Array(one) if field.mode == "REPEATED" else one


def _partition(table: bigquery.Table) -> str | None:
    """Return the column by which the table is divided into days."""
    divided = table.time_partitioning
    return (divided.field or INGESTION_TIME) if divided else None


def _cure(error: Exception) -> str:
    if isinstance(error, NotFound):
        return "Check `table`, and `id`, the project that it is in."
    if "bytes billed" in str(error):
        return "Raise `maximum_bytes_billed`, or ask for fewer days at once."
    return (
        "Check the credentials, and that they may run queries in the project (BigQuery Job User) and read the table "
        "(BigQuery Data Viewer)."
    )
