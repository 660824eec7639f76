"""Columns: Arrow arrays from the items of an answer, flat, without a Python object per cell where that is slow."""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

NO_TIME = ("null", "")
"""What the APIs write for a time that they do not know."""


def numbers(values: Iterable[float | None]) -> "pa.Array[Any]":
    """Return the numbers as they are: an unknown one (NaN upstream) is null."""
    return pa.array(list(values), pa.float64())


def amounts(values: Iterable[float | None]) -> "pa.Array[Any]":
    """Return the numbers; an unknown one counts as 0."""
    return numbers(values).fill_null(0.0)


def texts(values: Iterable[str | None]) -> "pa.Array[Any]":
    """Return the texts; an empty one is null."""
    return pa.array([value or None for value in values], pa.string())


def times(values: Iterable[str | None]) -> "pa.Array[Any]":
    """Return RFC 3339 times in UTC; an unknown one is null."""
    known = pa.array([None if value in NO_TIME else value for value in values], pa.string())
    return pc.cast(known, pa.timestamp("us", "UTC"))


def maps(values: Iterable[Mapping[str, str]]) -> "pa.Array[Any]":
    """Return one map per row."""
    offsets, keys, items = [0], list[str](), list[str]()
    for value in values:
        keys.extend(value.keys())
        items.extend(value.values())
        offsets.append(len(keys))
    built: pa.Array[Any] = pa.MapArray.from_arrays(  # type: ignore[call-overload] # stubs: 64-bit offsets, which fail
        pa.array(offsets, pa.int32()), pa.array(keys, pa.string()), pa.array(items, pa.string())
    )
    return built


def record_batch(schema: pa.Schema, columns: "Mapping[str, pa.Array[Any]]") -> pa.RecordBatch:
    """Return the columns in the order and of the types of `schema`."""
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def constant(value: str | None, rows: int) -> "pa.Array[Any]":
    """Return `value` in every row."""
    return pa.array([value] * rows, pa.string())
