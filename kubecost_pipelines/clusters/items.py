"""Items: what allocations and assets have in common in an answer.

Only the fields that we use are decoded. A number may be null (NaN upstream), a text may be missing or empty.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec
import pyarrow as pa

from kubecost_pipelines.core.tables import Table
from kubecost_pipelines.settings import ClusterSettings

Number = float | None
Text = str | None
Labels = dict[str, str] | None


class Part(msgspec.Struct, rename="camel", gc=False):
    """A part of an answer: plain data without cycles, which the garbage collector need not visit."""


class Properties(Part):
    """What identifies an item."""

    cluster: Text = None
    provider_id: Text = msgspec.field(default=None, name="providerID")


class Item(Part):
    """An allocation or an asset."""

    start: Text = None
    end: Text = None
    minutes: Number = 0.0
    reported_cost: Number = msgspec.field(default=0.0, name="totalCost")
    """With the adjustments that the cluster itself made."""


AnyItem = TypeVar("AnyItem", bound=Item)


@dataclass(frozen=True)
class Kind(Generic[AnyItem]):
    """One table of a cluster: how its items decode, which of them we keep, and the rows they make."""

    table: Table
    cost_column: str
    decoder: msgspec.json.Decoder[dict[str, AnyItem]]
    to_rows: Callable[[Sequence[AnyItem], ClusterSettings], pa.RecordBatch]
    cluster_of: Callable[[AnyItem], str | None]
    skipped_type: Callable[[AnyItem], str | None] = lambda _: None
    """The type of an item that we do not keep; None for those that we do."""
