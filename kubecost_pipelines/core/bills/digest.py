"""Digests: what a day of a bill says, in a few letters, so that two versions of it can be told apart.

A digest does not depend on the order of the rows, on the number of threads that summed them, or on the invoice: when
AWS finalises a month, it writes the same charges once more with their InvoiceId.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.bills.aws_lines import RESIDUAL
from kubecost_pipelines.core.tables import COST_NAMES

_FIELD = "\x1f"


@dataclass(frozen=True)
class DayDigest:
    """What one day of a bill says: its charges, and the invoices that they are on."""

    content: str
    invoice: str

    def __str__(self) -> str:
        return f"{self.content}/{self.invoice}"

    @classmethod
    def parse(cls, text: str) -> "DayDigest":
        """Return what `str` wrote."""
        content, _, invoice = text.partition("/")
        return cls(content, invoice)


NOTHING = DayDigest("", "")
"""A day that the bill does not have."""


@ibis.udf.scalar.builtin(name="md5_number_lower")  # type: ignore[untyped-decorator]
def _hash(value: str) -> int:  # type: ignore[empty-body]
    """Return 64 bits of MD5: the same on every machine and in every version of the engine, unlike `hash`."""


def sum_up_days(bill: ir.Table) -> ir.Table:
    """Return one row per `date`, for `as_digests`: `rows`, the exact sum of each cost, and a sum of hashes.

    Args:
        bill: rows of `cloud_billing`. The residual rows are left out, for they follow from the others.
    """
    bill = bill.filter((bill.charge_type != RESIDUAL).fill_null(True))
    # A float that is summed in another order differs in its last digits, which float32 does not have.
    floats = {name: bill[name].cast("float32") for name in bill.columns if bill[name].type().is_floating()}
    bill = bill.mutate(**floats)
    told = [name for name in bill.columns if name not in ("date", "invoice_id")]
    text = ibis.literal(_FIELD).join([bill[name].cast("string").fill_null(_FIELD) for name in told])
    hashed = bill.select("date", *COST_NAMES, hashed=_hash(text), invoice=_hash(bill.invoice_id.fill_null("")))
    return hashed.group_by("date").aggregate(
        rows=hashed.count(),
        content=hashed.hashed.sum().cast("string"),
        invoice=hashed.invoice.sum().cast("string"),
        **{name: hashed[name].sum() for name in COST_NAMES},
    )


def as_digests(days: Iterable[Mapping[str, Any]]) -> dict[date, DayDigest]:
    """Return the digest of each day from the rows of `sum_up_days`."""
    return {day["date"]: _digest(day) for day in days}


def _digest(day: Mapping[str, Any]) -> DayDigest:
    costs = [str(Decimal(day[name] or 0).normalize()) for name in COST_NAMES]
    content = _FIELD.join([str(day["rows"]), day["content"] or "", *costs])
    return DayDigest(_short(content), _short(day["invoice"] or "", 8))


def _short(text: str, letters: int = 20) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:letters]
