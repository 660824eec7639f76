"""The staging file of one day: written in batches while the answer arrives, whole or absent."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Generic

import pyarrow.compute as pc
import pyarrow.parquet as pq

from kubecost_pipelines.clusters.items import AnyItem, Kind
from kubecost_pipelines.settings import ClusterSettings

ROWS_PER_BATCH = 5_000
"""Items held as Python objects, some 6 kB each."""


class DayFile(Generic[AnyItem]):
    """Takes items, writes the rows they make, and keeps what tells whether the day can be trusted."""

    def __init__(self, path: Path, kind: Kind[AnyItem], cluster: ClusterSettings) -> None:
        self._kind = kind
        self._cluster = cluster
        self._pending: list[AnyItem] = []
        # It lives for seconds: what is quick to write and to read counts more than its size.
        schema = kind.table.arrow_schema()
        self._writer = pq.ParquetWriter(path, schema, compression="lz4", use_dictionary=False, write_statistics=False)
        self.rows = 0
        self.total_cost = 0.0
        """Σ of the unadjusted estimates."""
        self.reported_cost = 0.0
        """Σ of the items' own `totalCost`, which the server's total must agree with."""
        self.longest_minutes = 0.0
        """Of one item."""
        self.skipped: Counter[str] = Counter()
        self.clusters: set[str] = set()
        """The clusters that the items belong to, as the server names them."""
        self.starts: list[datetime] = []
        self.ends: list[datetime] = []
        """First start and last end of each batch."""

    def add(self, items: Iterable[AnyItem]) -> None:
        for item in items:
            if skipped_type := self._kind.skipped_type(item):
                self.skipped[skipped_type] += 1
            else:
                self._pending.append(item)
        if len(self._pending) >= ROWS_PER_BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what is pending, so that the sums are those of the day."""
        if self._pending:
            self._write()

    def close(self) -> None:
        self._writer.close()

    def _write(self) -> None:
        items, self._pending = self._pending, []
        rows = self._kind.to_rows(items, self._cluster)
        self._writer.write_batch(rows)
        self.rows += len(items)
        self.total_cost += pc.sum(rows.column(self._kind.cost_column)).as_py()
        self.reported_cost += sum(item.reported_cost or 0.0 for item in items)
        self.longest_minutes = max(self.longest_minutes, pc.max(rows.column("minutes")).as_py() or 0.0)
        self.clusters.update(filter(None, map(self._kind.cluster_of, items)))
        self.starts.extend(filter(None, [pc.min(rows.column("start")).as_py()]))
        self.ends.extend(filter(None, [pc.max(rows.column("end")).as_py()]))


@contextmanager
def open_day_file(path: Path, kind: Kind[AnyItem], cluster: ClusterSettings) -> Iterator[DayFile[AnyItem]]:
    """Open a new file; it is complete after the context, and gone after an error."""
    try:
        file = DayFile(path, kind, cluster)
        try:
            yield file
        finally:
            file.close()
    except BaseException:
        path.unlink(missing_ok=True)
        raise
