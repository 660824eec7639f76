"""AWS's Cost and Usage Report in Athena: the table that AWS's own integration makes of it.

Athena sums the lines to days and resources, by the same expressions that read files, and unloads them as Parquet.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import ibis
import ibis.expr.types as ir
from botocore.exceptions import BotoCoreError, ClientError
from ibis.backends.duckdb import Backend

from kubecost_pipelines.clouds import Bill, BillError, Connection, answer, fingerprint_of, name_bill
from kubecost_pipelines.clouds.aws_session import open_session
from kubecost_pipelines.core.bill_changes import Answer
from kubecost_pipelines.core.bills.aws_lines import name_as_focus, residual, sum_to_days
from kubecost_pipelines.core.bills.source import UnknownBillError
from kubecost_pipelines.core.connection_status import ConnectionEvent
from kubecost_pipelines.core.window import Window
from kubecost_pipelines.settings import CloudStoreSettings

if TYPE_CHECKING:
    from boto3.session import Session

CATALOG = "awsdatacatalog"
GLUE_TYPES = {
    "bigint": "int64", "int": "int32", "integer": "int32", "smallint": "int16", "tinyint": "int8",
    "double": "float64", "float": "float32", "boolean": "boolean", "date": "date", "timestamp": "timestamp",
}  # fmt: skip
"""Glue's types in Ibis's; decimals and maps are written alike, and the rest is text or not read."""

BILLING_PERIOD = "bill_billing_period_start_date"

PAUSES = (0.2, 0.5, 1, 2, 3, 5)
"""Seconds between two looks at a running query; the last one repeats."""

QUERY_TIMEOUT_SECONDS = 1800


class AthenaStore:
    """Reads one payer account's report through Athena."""

    def __init__(self, settings: CloudStoreSettings, label_keys: Sequence[str], scratch: Path) -> None:
        self._settings = settings
        self._label_keys = label_keys
        self._scratch = scratch
        self._catalog, self._database, self._table = [CATALOG, *str(settings.table).rsplit(".", 2)][-3:]

    @cached_property
    def _session(self) -> "Session":
        return open_session(self._settings)

    def _client(self, service: str) -> Any:
        return self._session.client(service, endpoint_url=self._settings.endpoint)  # type: ignore[call-overload]

    def read_billing(self, window: Window, engine: Backend) -> Bill:
        """See `CloudStore.read_billing`."""
        with self._in_aws_words():
            described = self._describe()
            report, partitions = _as_ibis(described, self._catalog)
            try:
                daily, tags = sum_to_days(_of_month(report, partitions, window), window, self._label_keys)
            except UnknownBillError as error:
                raise BillError(f"{self._settings.title}: {self._settings.table}: {error}") from error
            files = self._unload(ibis.to_sql(daily, dialect="athena"))
        source = f"{self._settings.table} in Athena"
        if not files:
            return Bill(None, missing=f"{self._settings.title}: {source} has nothing for {window.in_words}")
        rows = engine.read_parquet(files, table_name=name_bill(engine), hive_partitioning=False)
        typed = rows.select(**{name: rows[name].cast(type_) for name, type_ in daily.schema().items()})
        inputs = {str(self._settings.table): str(described.get("UpdateTime", ""))}
        return Bill(name_as_focus(typed, tags, window, self._label_keys), inputs, residual, source=source)

    def changes(self, window: Window, since: str, engine: Backend, limit_bytes: int) -> Answer:
        """See `CloudStore.changes`: lists the month's files, and queries them only when they are new.

        A table whose partitions lie elsewhere than below its own location is as new as Glue says that it is.
        """
        with self._in_aws_words():
            described = self._describe()
            there = self._list(described["StorageDescriptor"]["Location"])
        files = _of_these(there, window)
        inputs = {file["Key"]: file["ETag"] for file in files}
        if not there:
            inputs = {"table": str(described.get("UpdateTime", ""))}
        size = sum(file["Size"] for file in files)
        return answer(fingerprint_of(inputs), since, size, limit_bytes, lambda: self.read_billing(window, engine))

    def _list(self, location: str) -> list[dict[str, Any]]:
        _, bucket, path, *_ = urlsplit(location)
        pages = self._client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=path.lstrip("/"))
        return [file for page in pages for file in page.get("Contents", [])]

    def check_connection(self, today: date) -> Connection:  # noqa: ARG002 - the table has every month
        """See `CloudStore.check_connection`: asks Glue for the table and its partitions, and S3 for files: no query."""
        window = Window.of_day(date(2000, 1, 1))
        with self._in_aws_words():
            described = self._describe()
            try:
                sum_to_days(_as_ibis(described, self._catalog)[0], window, ())
            except UnknownBillError as error:
                raise BillError(f"{self._settings.title}: {self._settings.table}: {error}") from error
            if described.get("PartitionKeys") and not self._is_projected(described):
                found = self._client("glue").get_partitions(
                    DatabaseName=self._database, TableName=self._table, MaxResults=1
                )["Partitions"]
            else:
                _, bucket, path, *_ = urlsplit(described["StorageDescriptor"]["Location"])
                found = (
                    self._client("s3")
                    .list_objects_v2(Bucket=bucket, Prefix=path.lstrip("/"), MaxKeys=1)
                    .get("Contents", [])
                )
        if found:
            return Connection(ConnectionEvent.DATA, f"{self._settings.table} in Athena")
        return Connection(ConnectionEvent.EMPTY, f"{self._settings.table} in Athena has no partition and no file")

    @staticmethod
    def _is_projected(described: dict[str, Any]) -> bool:
        return bool(described.get("Parameters", {}).get("projection.enabled") == "true")

    def _describe(self) -> dict[str, Any]:
        catalog = {} if self._catalog.lower() == CATALOG else {"CatalogId": self._catalog}
        table: dict[str, Any] = self._client("glue").get_table(DatabaseName=self._database, Name=self._table, **catalog)
        return dict(table["Table"])

    def _unload(self, query: str) -> list[str]:
        """Run the query, and return its answer as files in `scratch`; nothing of it stays in the bucket."""
        _, bucket, path, *_ = urlsplit(str(self._settings.results))
        folder = "/".join(filter(None, [path.strip("/"), "kubecost-pipelines", uuid4().hex]))
        athena, s3 = self._client("athena"), self._client("s3")
        started = athena.start_query_execution(
            QueryString=f"UNLOAD ({query}) TO 's3://{bucket}/{folder}/rows/' WITH (format = 'PARQUET')",
            QueryExecutionContext={"Catalog": self._catalog, "Database": self._database},
            WorkGroup=self._settings.workgroup,
            ResultConfiguration={"OutputLocation": f"s3://{bucket}/{folder}/"},
        )
        try:
            self._wait(athena, started["QueryExecutionId"])
            return self._download(s3, bucket, f"{folder}/rows/")
        finally:
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{folder}/")
            for page in pages:
                if keys := [{"Key": found["Key"]} for found in page.get("Contents", [])]:
                    s3.delete_objects(Bucket=bucket, Delete={"Objects": keys})

    def _wait(self, athena: Any, query_id: str) -> None:
        deadline = time.monotonic() + QUERY_TIMEOUT_SECONDS
        pauses = iter(PAUSES)
        while True:
            status = athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]["Status"]
            match status["State"]:
                case "SUCCEEDED":
                    return
                case "FAILED" | "CANCELLED" as state:
                    reason = status.get("StateChangeReason", "no reason given")
                    raise BillError(
                        f"{self._settings.title}: {self._settings.table}: the query {state.lower()}: {reason}. Look up "
                        f"{query_id} in Athena's history; the earlier partitions stay as they are."
                    )
            if time.monotonic() > deadline:
                athena.stop_query_execution(QueryExecutionId=query_id)
                raise BillError(
                    f"{self._settings.title}: {self._settings.table}: the query took more than "
                    f"{QUERY_TIMEOUT_SECONDS} s and was stopped. Ask for fewer days at once, or use another workgroup."
                )
            time.sleep(next(pauses, PAUSES[-1]))

    def _download(self, s3: Any, bucket: str, prefix: str) -> list[str]:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [found["Key"] for page in pages for found in page.get("Contents", []) if found["Size"]]
        files = []
        for key in keys:
            files.append(str(self._scratch / f"{uuid4().hex}.parquet"))
            s3.download_file(bucket, key, files[-1])
        return files

    @contextmanager
    def _in_aws_words(self) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise BillError(f"{self._settings.title}: {self._settings.table}: {error}. {_cure(error)}") from error


def _as_ibis(described: dict[str, Any], catalog: str) -> tuple[ir.Table, list[str]]:
    """Return the table as Glue describes it, and the names of its partition columns."""
    partitions = described.get("PartitionKeys", [])
    columns = [*described["StorageDescriptor"]["Columns"], *partitions]
    schema = ibis.schema({column["Name"]: _type(column["Type"]) for column in columns})
    table = ibis.table(schema, name=described["Name"], catalog=catalog, database=described["DatabaseName"])
    return table, [column["Name"] for column in partitions]


def _type(glue: str) -> str:
    text = glue.lower().strip()
    if text.startswith(("decimal", "map<string,string")):
        return text.replace(",", ", ")
    return GLUE_TYPES.get(text, "string")


def _of_these(files: Sequence[dict[str, Any]], window: Window) -> list[dict[str, Any]]:
    """Return the files that lie in the month's partition; all of them where no folder tells the month."""
    month = window.start.date()
    marks = [f"month={month:%m}/", f"month={month.month}/"]
    folders = [*(f"/year={month:%Y}/{mark}" for mark in marks), f"/billing_period={month:%Y-%m}/"]
    mine = [file for file in files if any(folder in f"/{file['Key'].lower()}" for folder in folders)]
    is_divided = any("month=" in file["Key"].lower() or "billing_period=" in file["Key"].lower() for file in files)
    return mine if is_divided else list(files)


def _of_month(report: ir.Table, partitions: Sequence[str], window: Window) -> ir.Table:
    """Keep the month's partitions: `year` and `month` (with and without a zero), or `billing_period`.

    A table that is divided in no such way is cut by the billing period of its lines: those of other months would all
    count in this one.
    """
    month = window.start.date()
    wanted = {
        "year": [f"{month:%Y}"],
        "month": sorted({f"{month:%m}", f"{month.month}"}),
        "billing_period": [f"{month:%Y-%m}"],
    }
    for name in partitions:
        if name in wanted:
            report = report.filter(report[name].cast("string").isin(wanted[name]))
    if {"month", "billing_period"} & {*partitions}:
        return report
    if BILLING_PERIOD not in report.columns:
        raise UnknownBillError(
            f"it has no partitions by month, and lacks {BILLING_PERIOD} to tell the months apart. Create the table as "
            "AWS's own integration of the report does."
        )
    start = report[BILLING_PERIOD].cast("string").substr(0, 7)
    return report.filter(start == f"{month:%Y-%m}")


def _cure(error: Any) -> str:
    code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
    if code in ("EntityNotFoundException", "NoSuchBucket"):
        return "Check `table`, `results` and `region`."
    return (
        "Check the credentials, and that they may use Athena and Glue, read the report's bucket, and read, write and "
        "delete in `results`."
    )
