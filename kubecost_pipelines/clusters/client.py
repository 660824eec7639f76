"""The client of one cluster: a day of its assets or allocations, checked, as a Parquet file.

A day is refused when it is empty, broken, someone else's or not what the cluster itself says it adds up to.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import pyarrow as pa

from kubecost_pipelines.clusters import allocations, assets
from kubecost_pipelines.clusters.api import Answer, ClusterApi, Question, cure_of, is_transient
from kubecost_pipelines.clusters.day_file import DayFile, open_day_file
from kubecost_pipelines.clusters.errors import ClusterError, EmptyDayError, NotThereError, TryAgainError
from kubecost_pipelines.clusters.flavours import FLAVOURS, Flavour
from kubecost_pipelines.clusters.items import AnyItem, Item, Kind
from kubecost_pipelines.clusters.streaming import AnswerReader, BrokenAnswerError
from kubecost_pipelines.core.window import DAY, Window
from kubecost_pipelines.settings import ClusterSettings

Decoded = TypeVar("Decoded")

RELATIVE_TOLERANCE = 1e-4
ROUNDING_PER_ITEM = 1e-5
"""The APIs round each cost to five decimals, and their totals separately."""

HOUR, LONGEST_HOUR = "1h", 61.0
"""Step of hourly sets, and the most minutes of an item in one, which some servers round up."""

_TOTALS = msgspec.json.Decoder(dict[str, Item])

_EMPTY_CURE = (
    "Is the day older than the retention of its Kubecost (15 days in the free tier) or Prometheus? Did the cluster "
    "exist then? Was it scraped?"
)
_SEVERAL_SETS_CURE = (
    "Its days do not start at midnight UTC: set the UTC offset of its Kubecost (`utcOffset`) to 0 and let it rebuild."
)
_NO_HOURS_CURE = (
    "It no longer remembers the hours of that day: Kubecost keeps far fewer of them than days. Let it keep more "
    "(`ETL_HOURLY_STORE_DURATION_HOURS`), or collect with `step: 1d`."
)
_UNKNOWN_CURE = "Check `flavour`; if it is right, this version of the API is new to us: upgrade, or report it."
_TOTAL_CURE = (
    "Wait until its ETL has built that day, or rebuild it there. If you trust its allocations more than its totals, "
    "set `verify_totals: false`."
)


@dataclass(frozen=True)
class FetchedDay:
    """What a day's file holds: its rows, the sum of their estimates, and how many items of which type we left out."""

    rows: int
    total_cost: float
    skipped: Mapping[str, int] = field(default_factory=dict)
    reported_cost: float = 0.0
    """Σ of the items' own `totalCost`."""


class ClusterClient:
    """Reads one cluster through its Kubecost or OpenCost API.

    Args:
        cluster: where it is, and how to get in.
        pause_seconds: pause after the first failed attempt; doubles after each.
    """

    def __init__(self, cluster: ClusterSettings, *, pause_seconds: float = 1.0) -> None:
        self.cluster = cluster
        self._api = ClusterApi(cluster, pause_seconds)
        self._flavour = FLAVOURS.get(cluster.flavour)

    def probe(self) -> Flavour:
        """Return the API that the cluster speaks: the configured one, or the first that answers; asked once.

        Raises:
            ClusterError: it speaks neither, or does not speak to us.
        """
        if not self._flavour:
            self._flavour = self._find_flavour()
        return self._flavour

    def check(self) -> Flavour:
        """Ask the cluster something cheap, whatever is configured, and return the API that it speaks.

        Raises:
            ClusterError: as `probe` does.
        """
        self._flavour = self._find_flavour([self._flavour] if self._flavour else FLAVOURS.values())
        return self._flavour

    def fetch_assets(self, day: date, destination: Path) -> FetchedDay:
        """Write a day's nodes, disks, load balancers and management fee: the columns of `IN_CLUSTER_ASSETS`.

        Args:
            day: a UTC day.
            destination: the file to write; on an error it is not there.

        Raises:
            EmptyDayError: the cluster has nothing for that day.
            ClusterError: no answer, or one that cannot be trusted.
        """
        destination.unlink(missing_ok=True)
        flavour = self.probe()
        question = _ask(f"assets of {day}", flavour.assets_path, day, flavour.assets_params)
        return self._api.attempt(
            question, lambda: self._fetch(assets.KIND, question, day, destination, verify_total=False)
        )

    def fetch_allocations(self, day: date, destination: Path) -> FetchedDay:
        """Write a day's workload costs and the idle cost of each node: the columns of `ALLOCATIONS`.

        Takes and raises what `fetch_assets` does; with `verify_totals`, a day that does not add up to the cluster's
        own total is refused too.
        """
        destination.unlink(missing_ok=True)
        flavour = self.probe()
        question = _ask(f"allocations of {day}", flavour.allocation_path, day, flavour.allocation_params)
        verify = self.cluster.verify_totals
        return self._api.attempt(
            question, lambda: self._fetch(allocations.KIND, question, day, destination, verify_total=verify)
        )

    def fetch_hourly_allocations(self, day: date, destination: Path) -> FetchedDay:
        """Write a day's workload costs hour by hour: the columns of `ALLOCATIONS`, whose `start` tells the hour.

        Takes and raises what `fetch_allocations` does; a day whose items are longer than an hour is refused too.
        """
        destination.unlink(missing_ok=True)
        flavour = self.probe()
        params = {**flavour.allocation_params, "step": HOUR}
        question = _ask(f"hourly allocations of {day}", flavour.allocation_path, day, params)
        verify = self.cluster.verify_totals
        return self._api.attempt(
            question, lambda: self._fetch(allocations.KIND, question, day, destination, verify_total=verify)
        )

    def fetch_totals(self, first: date, last: date) -> dict[date, float]:
        """Return what each day costs, the cluster's own adjustments included; days that it lacks are not there.

        One cheap question for all of them: it also finds out which API the cluster speaks.

        Raises:
            ClusterError: no answer, or one that cannot be trusted.
        """
        refusals = []
        window = f"{first}T00:00:00Z,{last + DAY}T00:00:00Z"
        for flavour in [self._flavour] if self._flavour else FLAVOURS.values():
            params = {**flavour.allocation_params, "aggregate": "cluster", "window": window}
            question = Question(f"days from {first} to {last}", flavour.allocation_path, params)
            try:
                totals = self._api.attempt(question, partial(self._read_totals, question))
            except NotThereError as error:
                refusals.append(str(error))
            else:
                self._flavour = flavour
                return {day: total for day, total in totals.items() if first <= day <= last}
        raise ClusterError(" ".join(refusals))

    def _read_totals(self, question: Question) -> dict[date, float]:
        totals: dict[date, float] = {}
        with self._api.open(question) as answer:
            for items in self._read(question, answer, _TOTALS, several_sets=True):
                for item in items.values():
                    start = item.start or ""
                    if start[:10].count("-") != 2:
                        raise self._api.error(question, f"a set without a start, {start!r}", _UNKNOWN_CURE)
                    day = date.fromisoformat(start[:10])
                    totals[day] = totals.get(day, 0.0) + (item.reported_cost or 0.0)
        return totals

    def _find_flavour(self, flavours: Iterable[Flavour] = FLAVOURS.values()) -> Flavour:
        yesterday = datetime.now(UTC).date() - DAY
        refusals = []
        for flavour in flavours:
            # The cheapest question that every server answers.
            params = {**flavour.allocation_params, "aggregate": "cluster"}
            question = _ask("which API it speaks", flavour.allocation_path, yesterday, params)
            try:
                self._api.attempt(question, partial(self._knock, question))
            except NotThereError as error:
                refusals.append(str(error))
            else:
                return flavour
        raise ClusterError(" ".join(refusals))

    def _knock(self, question: Question) -> None:
        with self._api.open(question):
            pass

    def _fetch(
        self, kind: Kind[AnyItem], question: Question, day: date, destination: Path, *, verify_total: bool
    ) -> FetchedDay:
        with open_day_file(destination, kind, self.cluster) as file:
            with self._api.open(question) as answer:
                try:
                    for items in self._read(question, answer, kind.decoder, several_sets=_is_hourly(question)):
                        file.add(items.values())
                    file.flush()
                except pa.ArrowInvalid as error:
                    raise self._api.error(question, f"an unreadable value: {error}", _UNKNOWN_CURE) from error
            self._check(file, question, day)
            if verify_total:
                self._check_total(file, question)
        return FetchedDay(file.rows, file.total_cost, dict(file.skipped), file.reported_cost)

    def _read(
        self,
        question: Question,
        answer: Answer,
        decoder: msgspec.json.Decoder[dict[str, Decoded]],
        *,
        several_sets: bool = False,
    ) -> Iterator[dict[str, Decoded]]:
        """Yield the items of the one set that a day has (or of its hours), and refuse what is no such answer."""
        reader = AnswerReader(answer.chunks, decoder)
        numbers = set()
        try:
            for number, items in reader.read_batches():
                numbers.add(number)
                if len(numbers) > 1 and not several_sets:
                    raise self._api.error(question, "several sets of items for one day", _SEVERAL_SETS_CURE)
                yield items
        except BrokenAnswerError as error:
            raise answer.broken(str(error)) from error
        except msgspec.ValidationError as error:
            raise self._api.error(question, f"an item of an unknown shape: {error}", _UNKNOWN_CURE) from error
        code = reader.fields.get("code", 200)
        if code != 200 or not reader.has_data or reader.fields.get("data") is not None:
            problem = f"status 200 but no data, code {code}, {answer.excerpt!r}"
            if is_transient(code):
                raise TryAgainError(problem, cure_of(code))
            raise self._api.error(question, problem, cure_of(code))

    def _check(self, file: DayFile[AnyItem], question: Question, day: date) -> None:
        """Refuse a day that is empty, another day's, or that of several clusters."""
        if not file.rows:
            others = f" but {dict(file.skipped)}" if file.skipped else ""
            raise self._api.error(question, f"the cluster has nothing for {day}{others}", _EMPTY_CURE, EmptyDayError)
        window = Window.of_day(day)
        if file.starts and file.ends and not (min(file.starts) < window.end and max(file.ends) > window.start):
            raise self._api.error(
                question,
                f"{file.rows} items from {min(file.starts):%Y-%m-%d %H:%M} to {max(file.ends):%Y-%m-%d %H:%M} UTC, "
                "none of them on that day",
                _SEVERAL_SETS_CURE,
            )
        if _is_hourly(question) and file.longest_minutes > LONGEST_HOUR:
            raise self._api.error(
                question, f"items of {file.longest_minutes:.0f} minutes where hours were asked for", _NO_HOURS_CURE
            )
        if len(file.clusters) > 1:
            raise self._api.error(
                question,
                f"items of {len(file.clusters)} clusters ({', '.join(sorted(file.clusters)[:5])})",
                "That is a federated Kubecost: let `endpoint` name the cluster's own.",
            )

    def _check_total(self, file: DayFile[AnyItem], question: Question) -> None:
        """Refuse a day whose items do not add up to what the cluster itself says they do."""
        total = 0.0
        params = {**question.params, "aggregate": "cluster"}
        asked = Question(f"total of the {question.topic}", question.path, params)
        with self._api.open(asked) as answer:
            for items in self._read(asked, answer, _TOTALS, several_sets=_is_hourly(question)):
                total += sum(item.reported_cost or 0.0 for item in items.values())
        if abs(total - file.reported_cost) > RELATIVE_TOLERANCE * abs(total) + ROUNDING_PER_ITEM * file.rows:
            raise TryAgainError(
                f"half a day: {file.rows} allocations add up to {file.reported_cost:.5f}, `aggregate=cluster` to "
                f"{total:.5f}",
                _TOTAL_CURE,
            )


def _is_hourly(question: Question) -> bool:
    return question.params.get("step") == HOUR


def _ask(topic: str, path: str, day: date, params: Mapping[str, str]) -> Question:
    return Question(topic, path, {"window": f"{day}T00:00:00Z,{day + DAY}T00:00:00Z", **params})
