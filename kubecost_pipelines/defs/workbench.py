"""Workbench: what an asset body works with, opened for one step and cleared away after it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import ibis.expr.types as ir

from kubecost_pipelines.core.settling import last_settled, settled_days
from kubecost_pipelines.lake import Engine, Lake, open_engine
from kubecost_pipelines.settings import Settings
from kubecost_pipelines.settings.locations import locate


@dataclass(frozen=True)
class Tools:
    """A lake, an engine and a scratch folder, for the length of one step."""

    settings: Settings
    lake: Lake
    engine: Engine
    scratch: Path
    now: datetime

    def keep(self, rows: ir.Table) -> ir.Table:
        """Return the rows, computed once for what is asked of them next."""
        return self.engine.compute("kept", rows)

    @property
    def last_settled(self) -> date:
        return last_settled(self.now, self.settings.settle_after)

    def settled(self, days: list[date]) -> list[date]:
        return settled_days(days, self.now, self.settings.settle_after)


@dataclass(frozen=True)
class Workbench:
    """Opens the tools of one deployment. Nothing happens until a step asks."""

    settings: Settings
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    @contextmanager
    def open(self, threads: int | None = None) -> Iterator[Tools]:
        """Open the tools; the scratch folder goes when the step ends, however it ends.

        The engine has `threads`, or one per core.
        """
        settings = self.settings
        with TemporaryDirectory(prefix="kubecost-pipelines-", dir=settings.scratch) as folder:
            scratch = Path(folder)
            with open_engine(settings.memory_limit, scratch, threads) as engine:
                yield Tools(settings, Lake(locate(settings.lake), scratch), engine, scratch, self.clock())
