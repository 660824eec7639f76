"""Serving store: a read-only DuckDB file made from the lake, so that questions are answered at once.

The lake stays the truth: the file can be deleted at any time. A refresh copies the last file, replaces the days whose
lake files changed, and swaps the symbolic link `current`; readers that have the old file open finish with it. Files
have names of their own because DuckDB keeps one instance per path.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import duckdb

from kubecost_pipelines.serving.lake_files import Identity, list_files
from kubecost_pipelines.serving.reader import CURRENT, current_file
from kubecost_pipelines.settings.locations import Location

LAYOUT = 3
"""Raised when a file of the lake would be stored otherwise: older stores are then made anew."""


@dataclass(frozen=True)
class Refreshed:
    """What a refresh did."""

    path: Path
    days: int
    """Days of a key that were replaced, added or removed."""


def refresh(lake: Location, folder: Path, label_keys: Sequence[str]) -> Refreshed | None:
    """Bring the store in step with the lake; return None when it is already.

    Args:
        lake: where the Parquet is.
        folder: the store's own.
        label_keys: labels that get a column and sums of their own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = list_files(lake)
    current = current_file(folder)
    known = _known(current, label_keys) if current else None
    changed = [file for file in wanted.values() if known is None or known.get(file.identity) != file.fingerprint]
    gone = [identity for identity in (known or {}) if identity not in wanted]
    if known is not None and not changed and not gone:
        return None
    from kubecost_pipelines.serving.writer import Writer, open_to_write  # noqa: PLC0415 - Ibis takes seconds to load

    path = folder / f"store-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:8]}.duckdb"
    temporary = path.with_suffix(".tmp")
    try:
        if current and known is not None:
            shutil.copyfile(current, temporary)
        with TemporaryDirectory(dir=folder) as scratch, open_to_write(temporary, Path(scratch)) as connection:
            writer = Writer(connection, lake, Path(scratch), label_keys)
            if known is None:
                writer.create_tables(_layout(label_keys))
            writer.replace(changed, gone)
        temporary.replace(path)
        _point_to(folder, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sweep(folder, path)
    return Refreshed(path, len(changed) + len(gone))


def _known(current: Path, label_keys: Sequence[str]) -> dict[Identity, str] | None:
    """Return what the store was made from; None when it is of another layout and must be made anew."""
    try:
        # Attached, for a reader of this process may have it open with other options, which DuckDB would refuse.
        path = str(current).replace("'", "''")
        with duckdb.connect() as connection:
            connection.execute(f"ATTACH '{path}' AS known (READ_ONLY)")
            [(made_of,)] = connection.execute("SELECT made_of FROM known.layout").fetchall()
            if json.loads(made_of) != _layout(label_keys):
                return None
            rows = connection.execute("SELECT stored_in, key, day, fingerprint FROM known.lake_files").fetchall()
    except duckdb.Error:
        return None
    return {(stored_in, key, day): fingerprint for stored_in, key, day, fingerprint in rows}


def _layout(label_keys: Sequence[str]) -> dict[str, object]:
    return {"layout": LAYOUT, "label_keys": list(label_keys)}


def _point_to(folder: Path, path: Path) -> None:
    link = folder / f".{uuid4().hex}.link"
    link.symlink_to(path.name)
    link.replace(folder / CURRENT)


def _sweep(folder: Path, keep: Path) -> None:
    """Remove older stores; who has one open keeps reading it."""
    for old in folder.glob("store-*"):
        if old != keep:
            old.unlink(missing_ok=True)
