"""A bill that grows: nise's month, cut by the day of its lines into the versions that AWS would have delivered."""

import csv
import gzip
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from itertools import count
from pathlib import Path

from kubecost_pipelines_tests.replay import DATA

Line = dict[str, str]
REPORT = max((DATA / "aws").rglob("October*.csv.gz"))
MONTH = "20261001-20261101"
_clock = count(1)


@dataclass
class GrowingBill:
    """A report's folder; each `deliver` is a new version of the month, under a manifest of its own."""

    folder: Path
    lines: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        with gzip.open(REPORT, "rt", newline="") as file:
            self.lines = list(csv.DictReader(file))

    def on(self, day: date, product: str = "") -> list[Line]:
        """Return the lines of a day, or those of one product among them."""
        return [
            line
            for line in self.lines
            if line["lineItem/UsageStartDate"].startswith(str(day)) and product in line["lineItem/ProductCode"]
        ]

    def change(self, day: date, edit: Callable[[Line], None]) -> None:
        """Edit the lines of a day, in the deliveries from now on."""
        for line in self.on(day):
            edit(line)

    def add(self, *lines: Line) -> None:
        self.lines.extend(lines)

    def deliver(self, until: date) -> None:
        """Deliver the lines of the days up to `until`."""
        version = f"version-{next(_clock)}"
        target = self.folder / MONTH / version / "October-2026-cur.csv.gz"
        target.parent.mkdir(parents=True)
        with gzip.open(target, "wt", newline="", compresslevel=1) as file:
            writer = csv.DictWriter(file, list(self.lines[0]))
            writer.writeheader()
            writer.writerows(self._until(until))
        manifest = {"assemblyId": version, "reportKeys": [f"{self.folder.name}/{MONTH}/{version}/{target.name}"]}
        temporary = self.folder / MONTH / "manifest.tmp"
        temporary.write_text(json.dumps(manifest), encoding="utf-8")
        temporary.replace(self.folder / MONTH / "cur-Manifest.json")

    def _until(self, until: date) -> Iterable[Line]:
        return (line for line in self.lines if line["lineItem/UsageStartDate"][:10] <= str(until))
