"""`python -m benchmarks [NAME …]`: measure, and print a table of ratios with the goal of each.

A pair takes turns for `--rounds` rounds; each side counts with its best CPU time, libraries loaded beforehand.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

FOLDER = Path(".bench")
LINES, QUICK_LINES = 1_000_000, 100_000


@dataclass(frozen=True)
class Measured:
    """The best of several rounds of one work."""

    cpu_seconds: float
    peak_mb: float
    megabytes: float = 0.0
    """What it wrote, where that counts."""


@dataclass(frozen=True)
class Figure:
    """One promise: a work, what it is measured against (another work, or nothing), and the goal."""

    title: str
    work: str
    baseline: str | None
    goal: str
    value: Callable[[Measured, Measured], float]
    limit: float | None
    """None: it explains another figure, and promises nothing."""


def cpu_ratio(ours: Measured, baseline: Measured) -> float:
    return ours.cpu_seconds / baseline.cpu_seconds


def cpu_seconds(ours: Measured, _: Measured) -> float:
    return ours.cpu_seconds


def size_ratio(ours: Measured, baseline: Measured) -> float:
    return ours.megabytes / baseline.megabytes


def cpu_change(ours: Measured, baseline: Measured) -> float:
    """How far two works that should take as long are apart."""
    return abs(ours.cpu_seconds / baseline.cpu_seconds - 1)


FIGURES = {
    "normalise": Figure(
        "1M lines of Parquet to daily rows", "normalise_parquet", "copy_parquet", "≤ 1.2 × copy", cpu_ratio, 1.2
    ),
    "csv": Figure("1M lines of csv.gz to daily rows", "normalise_csv", "copy_csv", "≤ 1.3 × copy", cpu_ratio, 1.3),
    "gcp": Figure(
        "1M lines of Google's export to daily rows", "normalise_gcp", "copy_gcp", "≤ 1.5 × copy", cpu_ratio, 1.5
    ),
    "gcp-as-made": Figure(
        "the same, with resources that last an hour",
        "normalise_gcp_as_made",
        "copy_gcp_as_made",
        "none: as nise makes them up",
        cpu_ratio,
        None,
    ),
    "azure": Figure(
        "1M lines of Azure's export to daily rows", "normalise_azure", "copy_azure", "≤ 1.5 × copy", cpu_ratio, 1.5
    ),
    "gcp-memory": Figure(
        "5M lines of Google's export",
        "normalise_gcp_five_times",
        None,
        "peak ≤ 1,000 MB",
        lambda ours, _: ours.peak_mb,
        1000,
    ),
    "azure-memory": Figure(
        "5M lines of Azure's export",
        "normalise_azure_five_times",
        None,
        "peak ≤ 1,000 MB",
        lambda ours, _: ours.peak_mb,
        1000,
    ),
    "reconcile": Figure(
        "reconcile that bill with its assets", "reconcile_month", "copy_parquet", "≤ 0.7 × copy", cpu_ratio, 0.7
    ),
    "leave": Figure("what no cluster claims of it", "leave_month", "copy_parquet", "≤ 1.2 × copy", cpu_ratio, 1.2),
    "days": Figure("30 days in one run", "normalise_month", "normalise_by_day", "≤ 0.5 × 30 runs", cpu_ratio, 0.5),
    "workloads": Figure(
        "1M allocations against 20,000 nodes", "reconcile_workloads", "copy_workloads", "≤ 2 × copy", cpu_ratio, 2
    ),
    "workloads-memory": Figure(
        "1M allocations against 20,000 nodes",
        "reconcile_workloads",
        None,
        "peak ≤ 1,200 MB",
        lambda ours, _: ours.peak_mb,
        1200,
    ),
    "workloads-growth": Figure(
        "3M allocations against 100,000, per row",
        "reconcile_workloads_three_times",
        "reconcile_workloads_a_tenth",
        "≤ 1.3 ×",
        lambda ours, baseline: cpu_ratio(ours, baseline) / 30,
        1.3,
    ),
    "memory": Figure(
        "10M lines of Parquet", "normalise_ten_times", None, "peak ≤ 1,000 MB", lambda ours, _: ours.peak_mb, 1000
    ),
    "load": Figure("the graph of 50 bills", "load_50_stores", None, "≤ 1 CPU-s", cpu_seconds, 1),
    "load-300": Figure("the graph of 300 bills", "load_300_stores", None, "≤ 4 CPU-s", cpu_seconds, 4),
    "allocations": Figure("100,000 allocations", "fetch_allocations", None, "≤ 6 CPU-s", cpu_seconds, 6),
    "allocations-memory": Figure(
        "100,000 allocations", "fetch_allocations", None, "peak ≤ 400 MB", lambda ours, _: ours.peak_mb, 400
    ),
    "allocations-growth": Figure(
        "500,000 allocations against 100,000",
        "fetch_five_times",
        "fetch_allocations",
        "≤ 60 MB more",
        lambda ours, baseline: ours.peak_mb - baseline.peak_mb,
        60,
    ),
    # Exports are measured as a whole process: start, imports, the cluster's answer, the object in the bucket.
    "export-10k": Figure("export 10,000 allocations", "export_10k", None, "≤ 1.4 CPU-s", cpu_seconds, 1.4),
    "export-100k": Figure("export 100,000 allocations", "export_100k", None, "≤ 6 CPU-s", cpu_seconds, 6),
    "export-memory": Figure(
        "export 100,000 allocations", "export_100k", None, "peak ≤ 400 MB", lambda ours, _: ours.peak_mb, 400
    ),
    "export-500k": Figure(
        "export 500,000 allocations", "export_500k", None, "peak ≤ 450 MB", lambda ours, _: ours.peak_mb, 450
    ),
    "export-volumes": Figure(
        "export without volumes", "export_without_volumes", "export_100k", "± 15 %", cpu_change, 0.15
    ),
    "export-labels": Figure(
        "export 1,000 label keys, not 40", "export_many_labels", "export_few_labels", "± 15 %", cpu_change, 0.15
    ),
    "export-size": Figure(
        "size of the drop-in file", "export_100k", "export_as_before", "≤ 1.05 × the old", size_ratio, 1.05
    ),
    "export-native-size": Figure(
        "size of our own files", "export_native", "export_as_before", "≤ 0.85 × the old", size_ratio, 0.85
    ),
}


def main() -> None:
    """Measure the named figures, or all; exit 1 when one misses its goal."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which: {', '.join(FIGURES)}; all when omitted")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each pair (default 3)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the lines: shows that it runs, not how fast")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(FIGURES)):
        parser.error(f"no figure named {', '.join(unknown)}; choose from {', '.join(FIGURES)}")
    console, lines = Console(width=132), QUICK_LINES if options.quick else LINES
    grid = Table("figure", "ours CPU-s", "baseline CPU-s", "peak MB", "measured", "goal", "met", "command")
    missed = 0
    for name in options.names or FIGURES:
        figure = FIGURES[name]
        with console.status(f"{name}: {figure.title}"):
            ours, baseline = _measure(figure, lines, options.rounds)
        value = figure.value(ours, baseline)
        is_met = None if figure.limit is None else value <= figure.limit
        missed += is_met is False
        grid.add_row(
            figure.title,
            f"{ours.cpu_seconds:.2f}",
            f"{baseline.cpu_seconds:.2f}" if figure.baseline else "",
            f"{ours.peak_mb:.0f}",
            f"{value:.2f}",
            figure.goal,
            {True: "yes", False: "NO", None: ""}[is_met],
            f"python -m benchmarks {name}",
        )
    console.print(grid)
    sys.exit(1 if missed else 0)


def _measure(figure: Figure, lines: int, rounds: int) -> tuple[Measured, Measured]:
    works = [figure.work, *([figure.baseline] if figure.baseline else [])]
    for work in works:
        _run(work, lines, "prepare")
    seen: dict[str, list[Measured]] = {work: [] for work in works}
    for _ in range(rounds):
        for work in works:
            seen[work].append(_run(work, lines, "measure"))
    best = {
        w: Measured(min(m.cpu_seconds for m in seen[w]), max(m.peak_mb for m in seen[w]), seen[w][-1].megabytes)
        for w in works
    }
    return best[works[0]], best[works[-1]]


def _run(work: str, lines: int, mode: str) -> Measured:
    command = [sys.executable, "-m", "benchmarks.child", work, str(lines), str(FOLDER), mode]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return Measured(**json.loads(done.stdout)) if done.stdout else Measured(0, 0)


if __name__ == "__main__":
    try:
        main()
    finally:
        shutil.rmtree(FOLDER / "scratch", ignore_errors=True)
