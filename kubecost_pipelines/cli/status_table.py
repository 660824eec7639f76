"""The status as a table; colour only on a terminal."""

import shutil
import sys
from collections.abc import Iterator
from datetime import datetime

from rich.console import Console
from rich.table import Table as Grid

from kubecost_pipelines.core.connection_status import ConnectionStatus
from kubecost_pipelines.operations.status import ProcessStatus, Status

WIDTH_IN_A_FILE = 160
_GAPS = 3
Row = tuple[str, str, ProcessStatus]


def print_status(status: Status) -> None:
    """Print one line per process, and below it what there is to do."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH_IN_A_FILE
    console = Console(width=width, highlight=False)
    grid = Grid(title="Status", title_justify="left")
    for name in ("", "process", "state"):
        grid.add_column(name, overflow="fold")
    for name in ("days", "first", "last", "last run", "next run"):
        grid.add_column(name, justify="right", no_wrap=True)
    for whose, process, one in _rows(status):
        grid.add_row(whose, process, *_cells(one))
    console.print(grid)
    for key, store in status.cloud.items():
        is_good = store.connection is ConnectionStatus.SUCCESSFUL_CONNECTION
        is_off = store.cloud_usage.is_off and store.reconciliation.is_off
        colour = "green" if is_good else "dim" if is_off else "red"
        words = "off" if is_off else f"{store.connection} {store.cure}".rstrip()
        console.print(f"{store.title if store.title != key else key}: [{colour}]{words}[/{colour}]")
    for whose, process, one in _rows(status):
        if one.gaps and not one.is_off:
            more = f" and {len(one.gaps) - _GAPS} more" if len(one.gaps) > _GAPS else ""
            shown = "; ".join(gap.in_words for gap in one.gaps[:_GAPS])
            console.print(f"{whose} {process}: [yellow]missing {shown}{more}[/yellow]")


def _rows(status: Status) -> Iterator[Row]:
    for key, store in status.cloud.items():
        yield key, "cloud assets", store.cloud_usage
        yield key, "reconciliation", store.reconciliation
    for name, cluster in status.clusters.items():
        yield name, "in-cluster assets", cluster.assets
        yield name, "allocations", cluster.allocations
        if not cluster.hours.is_off:
            yield name, "allocations by the hour", cluster.hours
        yield name, "export", cluster.export
    yield "all", "Daily Asset Store", status.assets


def _cells(one: ProcessStatus) -> list[str]:
    if one.is_off:
        return ["[dim]off[/dim]", "", "", "", "", ""]
    state = "[green]complete[/green]" if one.progress == 1 else f"[yellow]{one.progress:.0%}[/yellow]"
    days = one.coverage.days if one.coverage else []
    first, last = (str(days[0]), str(days[-1])) if days else ("", "")
    return [state, f"{one.days}/{one.expected}", first, last, _time(one.last_run), _time(one.next_run)]


def _time(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M}" if time else "–"
