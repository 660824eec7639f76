"""Questions: what of the cost somebody wants to know. Plain data; nothing here reads anything."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import Enum

from kubecost_pipelines.core.serving import IdleBy
from kubecost_pipelines.core.window import DAY, Window
from kubecost_pipelines.operations.costs.filters import EVERYTHING, Filter

HOUR = timedelta(hours=1)


class QuestionError(ValueError):
    """The question makes no sense; the message tells the accepted forms."""


class Step(Enum):
    """How long one set of an answer is. Weeks start on Sunday, as Kubecost's do."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    ALL = "all"


@dataclass(frozen=True)
class Days:
    """A step of a whole number of days, counted from the start of the window."""

    count: int


@dataclass(frozen=True)
class Hours:
    """A step of a number of hours, counted from the start of the window."""

    count: int


@dataclass(frozen=True)
class Property:
    """What is grouped by: a field, or with a `key` a label or an annotation."""

    name: str
    key: str | None = None

    def __str__(self) -> str:
        return f"{self.name}:{self.key}" if self.key else self.name


@dataclass(frozen=True)
class AllocationQuestion:
    """What workloads cost. The names are those of Kubecost's parameters."""

    window: Window
    aggregate: tuple[Property, ...] = ()
    step: Step | Days | Hours = Step.DAY
    filter: Filter = EVERYTHING
    idle: bool = True
    share_idle: bool = False
    split_idle: bool = False
    idle_by: IdleBy = "cluster"
    """Who takes idle cost that is shared. By node, it is also split by node."""
    external: bool = False
    is_reconciled: bool = True
    share_tenancy_costs: bool = True
    share_namespaces: tuple[str, ...] = ()
    share_labels: tuple[tuple[str, str], ...] = ()
    share_cost: float = 0.0
    """Currency per month."""
    is_shared_evenly: bool = False

    @property
    def days(self) -> tuple[date, date]:
        return whole_days(self.window)

    @property
    def bounds(self) -> tuple[date, date]:
        """Where the answer begins and ends: whole days, or with a step of hours the hours that the window touches."""
        return whole_hours(self.window) if isinstance(self.step, Hours) else self.days

    @property
    def accumulated(self) -> "AllocationQuestion":
        """The same question, answered with one set."""
        if not isinstance(self.step, Hours):
            return replace(self, step=Step.ALL)
        start, end = whole_hours(self.window)
        return replace(self, step=Hours(max((end - start) // HOUR, 1)))

    @property
    def is_split_by_node(self) -> bool:
        return self.split_idle and not self.share_idle and self.idle_by == "node"


@dataclass(frozen=True)
class AssetQuestion:
    """What machines, disks and the like cost."""

    window: Window
    aggregate: tuple[str, ...] = ()
    step: Step | Days = Step.DAY
    filter: Filter = EVERYTHING
    is_adjusted: bool = True
    with_cloud: bool = True


@dataclass(frozen=True)
class CloudCostQuestion:
    """What is on the bills."""

    window: Window
    aggregate: tuple[Property, ...] = ()
    step: Step | Days = Step.DAY
    filter: Filter = EVERYTHING


def whole_days(window: Window) -> tuple[date, date]:
    """Return the first day and the day after the last that the window touches.

    The lake keeps UTC days: a window that begins within one takes all of it, as Kubecost's daily sets do.
    """
    days = window.days
    return (days[0], days[-1] + DAY) if days else (window.start.date(), window.start.date())


def whole_hours(window: Window) -> tuple[datetime, datetime]:
    """Return the start of the first hour that the window touches, and the end of the last."""
    start = window.start.replace(minute=0, second=0, microsecond=0)
    return start, start + -((start - window.end) // HOUR) * HOUR


def set_windows(first: date, end: date, step: Step | Days | Hours) -> list[tuple[date, date]]:
    """Return the sets of an answer: `[start, end)` days, the first and the last cut to the question's.

    With a step of hours they are times, as `first` and `end` are.
    """
    found, start = list[tuple[date, date]](), first
    while start < end:
        following = _next_start(start, end, step)
        # A step of days is not cut: OpenCost's are not either.
        found.append((start, following if isinstance(step, Days) else min(following, end)))
        start = following
    return found


def _next_start(start: date, end: date, step: Step | Days | Hours) -> date:
    if isinstance(step, Days | Hours):
        return start + (step.count * DAY if isinstance(step, Days) else min(step.count * HOUR, end - start))
    match step:
        case Step.DAY:
            return start + DAY
        case Step.WEEK:
            return start + timedelta(days=7 - start.isoweekday() % 7)
        case Step.MONTH:
            return (start.replace(day=1) + 32 * DAY).replace(day=1)
        case Step.QUARTER:
            return (start.replace(month=(start.month - 1) // 3 * 3 + 1, day=1) + 100 * DAY).replace(day=1)
    return end


def set_start(step: Step | Days, first: date) -> tuple[str, list[object]]:
    """Return SQL for the first day of the set that `date` lies in, of a window from `first` on, and its parameters."""
    start = "CAST(? AS DATE)"
    if isinstance(step, Days):
        sql = f"({start} + CAST(((date - {start}) // {step.count}) * {step.count} AS INTEGER))"
    else:
        sql = {
            Step.DAY: "date",
            Step.WEEK: f"greatest(date - CAST(dayofweek(date) AS INTEGER), {start})",
            Step.MONTH: f"greatest(CAST(date_trunc('month', date) AS DATE), {start})",
            Step.QUARTER: f"greatest(CAST(date_trunc('quarter', date) AS DATE), {start})",
        }.get(step, start)
    return sql, [first] * sql.count("?")
