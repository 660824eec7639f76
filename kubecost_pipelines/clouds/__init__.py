"""Clouds: one store per cloud bill, every provider in the same shape.

A store reads its bill for a window of days within one month; what the lines mean is `core.bills`' work.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Protocol

import duckdb
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from kubecost_pipelines.core.bill_changes import Answer
from kubecost_pipelines.core.bills.digest import as_digests, sum_up_days
from kubecost_pipelines.core.connection_status import ConnectionEvent
from kubecost_pipelines.core.window import Window
from kubecost_pipelines.settings import CloudStoreSettings


class BillError(Exception):
    """A bill cannot be read. The message names the bill and what is wrong, and ends with the cure."""


@dataclass(frozen=True)
class Bill:
    """What a store found: the rows of `cloud_billing` (None when no bill exists yet) and the files behind them."""

    rows: ir.Table | None
    inputs: dict[str, str] = field(default_factory=dict)
    """File -> fingerprint (size and modification time): a change means a restated bill."""
    complete: Callable[[ir.Table], ir.Table] | None = None
    """Rows to add, from the computed ones."""
    missing: str = ""
    """Why there is no bill, when there is none."""
    source: str = ""
    """Where it came from, for errors that show only when its rows are computed."""
    is_computed: bool = False
    """Whether the rows are put together from computed ones, so that it costs little to read them again."""


@dataclass(frozen=True)
class Connection:
    """What a check of a store found: an event, and the provider's own words for it."""

    event: ConnectionEvent
    detail: str


class CloudStore(Protocol):
    """Reads one cloud bill."""

    def changes(self, window: Window, since: str, engine: Backend, limit_bytes: int) -> Answer:
        """Say whether the bill of the days of `window`, which lie in one month, has changed, and on which days.

        Asking is cheap where nothing has changed. Where something has, the month is read, to tell its days apart.

        Args:
            window: the days in question.
            since: the fingerprint of the last answer; empty at first.
            engine: reads what has changed.
            limit_bytes: most bytes to read for that; a larger month is answered without days.

        Raises:
            BillError: as `read_billing`.
        """
        ...

    def read_billing(self, window: Window, engine: Backend) -> Bill:
        """Return the bill of the days of `window`, which lie in one month.

        Raises:
            BillError: the bill is broken, half there, or of an unknown kind.
        """
        ...

    def check_connection(self, today: date) -> Connection:
        """Say whether the bill can be reached and has data, without a query that costs money."""
        ...


def open_store(settings: CloudStoreSettings, label_keys: tuple[str, ...], scratch: Path) -> CloudStore:
    """Return the store of one ProviderKey; `scratch` is for what it must download."""
    if missing := missing_fields(settings):
        raise BillError(
            f"{settings.title}: INCOMPLETE_CONFIGURATION: missing {_listed(missing)}; add it to this store."
        )
    # A provider's module loads when it is used.
    match settings.provider:
        case "aws":
            if settings.is_queried:
                from kubecost_pipelines.clouds.athena import AthenaStore  # noqa: PLC0415

                return AthenaStore(settings, label_keys, scratch)
            from kubecost_pipelines.clouds.aws import AwsStore  # noqa: PLC0415

            return AwsStore(settings, label_keys, scratch)
        case "gcp":
            if settings.is_queried:
                from kubecost_pipelines.clouds.bigquery import BigQueryStore  # noqa: PLC0415

                return BigQueryStore(settings, label_keys, scratch)
            from kubecost_pipelines.clouds.gcp import GcpStore  # noqa: PLC0415

            return GcpStore(settings, label_keys, scratch)
        case "azure":
            from kubecost_pipelines.clouds.azure import AzureStore  # noqa: PLC0415

            return AzureStore(settings, label_keys, scratch)


def name_bill(engine: Backend) -> str:
    """Return a name for one more bill of an engine: the same one in every engine, for what is compiled once."""
    [(bills,)] = engine.con.execute(
        "SELECT count(*) FROM duckdb_views() WHERE view_name LIKE 'bill\\_%' ESCAPE '\\'"
    ).fetchall()
    return f"bill_{bills + 1}"


def fingerprint_of(inputs: Mapping[str, str]) -> str:
    """Return what changes when a file of a bill changes, comes or goes; empty for no files."""
    text = json.dumps(sorted(inputs.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:20] if inputs else ""


def answer(fingerprint: str, since: str, size_bytes: int, limit_bytes: int, read: Callable[[], Bill]) -> Answer:
    """Return a store's answer: what its bill says of each day, where it has changed and is not too large to read."""
    if not fingerprint:
        return Answer("", {})
    if fingerprint == since:
        return Answer(fingerprint)
    if size_bytes > limit_bytes:
        size = f"{size_bytes / 1e6:,.0f} MB"
        return Answer(fingerprint, note=f"{size} are more than `digest_megabytes`: all days are read again")
    bill = read()
    if bill.rows is None:
        return Answer(fingerprint, {})
    try:
        return Answer(fingerprint, as_digests(sum_up_days(bill.rows).to_pyarrow().to_pylist()))
    except duckdb.Error as error:
        raise unreadable(bill.source, error) from error


def check_connection(settings: CloudStoreSettings, today: date, scratch: Path) -> Connection:
    """Check one store, whatever is wrong with it: a finding, never an exception."""
    if missing := missing_fields(settings):
        return Connection(ConnectionEvent.MISSING_FIELDS, f"missing {_listed(missing)}")
    try:
        return open_store(settings, (), scratch).check_connection(today)
    except (BillError, OSError) as error:
        return Connection(ConnectionEvent.ERROR, str(error))


def missing_fields(settings: CloudStoreSettings) -> list[str]:
    """Return every field that a connection needs and the settings lack."""
    is_query = settings.is_queried
    missing = [] if settings.export or is_query else ["export"]
    if is_query and settings.provider == "aws" and not settings.results:
        missing.append("results")
    if settings.access_key_id and not settings.secret_access_key:
        missing.append("secret_access_key")
    if settings.secret_access_key and not settings.access_key_id:
        missing.append("access_key_id")
    return missing


def _listed(fields: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in fields)


def unreadable(source: str, error: Exception) -> BillError:
    """Return what to tell about a bill that DuckDB or the filesystem cannot read."""
    reason = str(error).split("\n", 1)[0]
    if isinstance(error, duckdb.OutOfMemoryException):
        return BillError(
            f"{source}: too large for this memory: {reason}. Raise `memory_limit`, or give `scratch` a larger disk."
        )
    return BillError(
        f"{source}: its files cannot be read: {reason}. The download or the delivery was cut off, or the file is not "
        "a bill; copy it again or wait for the next delivery. The earlier partitions stay as they are."
    )
