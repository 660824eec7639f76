"""Parameters: the query strings that clients of Kubecost and OpenCost send. Unknown ones are ignored, as there."""

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from kubecost_pipelines.core.serving import HOURLY_DAYS, IdleBy
from kubecost_pipelines.core.window import DAY, Window
from kubecost_pipelines.core.window_parser import FORMS, parse_window
from kubecost_pipelines.operations.costs import allocation_names, assets, cloud_costs
from kubecost_pipelines.operations.costs.filters import Field as FilterField
from kubecost_pipelines.operations.costs.filters import Filter, parse_filter, parse_v1
from kubecost_pipelines.operations.costs.questions import (
    AllocationQuestion,
    AssetQuestion,
    CloudCostQuestion,
    Days,
    Hours,
    QuestionError,
    Step,
)
from kubecost_pipelines.settings.allocation import AllocationSettings

Given = TypeVar("Given")

MAX_DAYS = 3_660
MAX_HOURLY_DAYS = HOURLY_DAYS + 2
"""The days whose hours are kept, the running one, and one for a window that begins within a day."""
_MODEL = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)
_SETTING = "When it is not said, as the setting of that name."
_NO_HOURS = (
    "assets and cloud costs have no hours, `day` is the finest step. Workloads have them: ask `/model/allocation` with "
    "`accumulate=hour`."
)
_STEPS = {"true": Step.ALL, "all": Step.ALL, "false": Step.DAY, "": Step.DAY, "none": Step.DAY}


def read_window(text: str, now: datetime) -> Window:
    """Return the window.

    Raises:
        QuestionError: no window, or more days than one question may cover.
    """
    try:
        found = parse_window(text, now)
    except ValueError as error:
        raise QuestionError(str(error)) from None
    if found.end.date() == date.max:
        raise QuestionError(f"window: it ends on {date.max}, which has no day after it: ask for an earlier one.")
    if (found.end - found.start).days > MAX_DAYS:
        raise QuestionError(f"window: {(found.end - found.start).days:,} days, at most {MAX_DAYS:,} are answered")
    return found


class _Windowed(BaseModel):
    model_config = _MODEL

    window: str = Field(
        description=f"What time to cover: {'; '.join(FORMS)}. Every UTC day that it touches is one whole day; "
        "with a step of hours, every hour.",
        examples=["7d", "2026-10-01T00:00:00Z,2026-11-01T00:00:00Z"],
        max_length=200,
    )
    aggregate: str = Field("", max_length=2_000, description="What to group by; a comma list groups by all of them.")
    accumulate: str = Field(
        "false",
        max_length=20,
        description="`true` or `all`: one set for the window. `false` or `day`: one per day. `week` (from Sunday), "
        "`month`, `quarter`. `hour`: one per hour, of workloads in clusters that have `step: 1h`.",
        examples=["true", "week", "hour"],
    )
    filter: str = Field(
        "",
        max_length=16_384,
        description='v2 filter, `namespace:"a","b"+label[app]!:"c"`; without it, v1 parameters such as '
        "`filterNamespaces=a,b*` are read.",
    )
    offset: int = Field(0, ge=0, le=10_000_000, description="Items to skip in each set, the dearest first.")
    limit: int | None = Field(None, ge=1, le=10_000_000, description="Items to answer of each set.")
    format: Literal["json", "csv", ""] = Field("json", description="`csv` downloads the window as one table.")

    def read_window(self, now: datetime) -> Window:
        """Return the window; raises QuestionError as `read_window` does."""
        return read_window(self.window, now)

    def read_step(self) -> Step:
        text = self.accumulate.strip().lower()
        if text == "hour":
            raise QuestionError(f"accumulate: {_NO_HOURS}")
        try:
            return _STEPS.get(text) or Step(text)
        except ValueError:
            raise QuestionError(
                f"accumulate: unknown {text!r}; accepted are true, false, day, week, month, quarter, all, and of "
                "workloads hour"
            ) from None

    def _read_filter(
        self, given: Mapping[str, str], fields: Mapping[str, FilterField], v1: Mapping[str, FilterField]
    ) -> Filter:
        return parse_filter(self.filter, fields) if self.filter.strip() else parse_v1(given, v1)


class AllocationParameters(_Windowed):
    """Parameters of `/model/allocation` and its kin."""

    accumulate_by: str = Field("", alias="accumulateBy", max_length=20, description="As `accumulate`; it comes first.")
    step: str = Field("", max_length=20, description="Length of one set: `1h`, `6h`, `1d`, `1w`.")
    resolution: str = Field("", max_length=20, description="Of OpenCost's Prometheus; without meaning here.")
    idle: bool | None = Field(None, description="Whether idle cost has an item of its own. Kubecost's default: true.")
    include_idle: bool | None = Field(None, alias="includeIdle", description="OpenCost's word for `idle`.")
    share_idle: bool | None = Field(
        None, alias="shareIdle", description=f"Whether idle cost is added to the workloads, by resource. {_SETTING}"
    )
    split_idle: bool = Field(
        False, alias="splitIdle", description="Whether each cluster (or node) has its own idle item."
    )
    idle_by_node: bool = Field(False, alias="idleByNode", description="Whether idle is shared and split by node.")
    external: bool = Field(False, description="Whether out-of-cluster cost that is labelled for workloads is added.")
    reconcile: bool = Field(True, description="`false`: estimates, all adjustments 0.")
    disable_adjustments: bool = Field(False, alias="disableAdjustments", description="As `reconcile=false`.")
    share_tenancy_costs: bool | None = Field(
        None,
        alias="shareTenancyCosts",
        description="Whether management fees and disks of nodes are shared among workloads (`sharedCost`). "
        f"`false` shows them as `__shared__`. {_SETTING}",
    )
    share_namespaces: str | None = Field(
        None, alias="shareNamespaces", max_length=4_000, description=f"Namespaces to share. {_SETTING}"
    )
    share_labels: str | None = Field(
        None, alias="shareLabels", max_length=4_000, description=f"Labels to share: `env:staging,…`. {_SETTING}"
    )
    share_cost: float | None = Field(
        None,
        alias="shareCost",
        ge=0,
        le=1e12,
        allow_inf_nan=False,
        description=f"Cost per month (730 hours) to share among the workloads. {_SETTING}",
    )
    share_split: Literal["weighted", "even"] | None = Field(
        None, alias="shareSplit", description=f"By cost, or to each item the same. {_SETTING}"
    )
    include_shared_cost_breakdown: bool = Field(
        True, alias="includeSharedCostBreakdown", description="Accepted; `sharedCost` is one figure here."
    )
    cost_metric: Literal["cumulative", "hourly", "daily", "monthly"] = Field(
        "cumulative", alias="costMetric", description="Whole cost, or cost per hour, day or month of 730 hours."
    )

    def question(
        self,
        given: Mapping[str, str],
        now: datetime,
        defaults: AllocationSettings,
        *,
        is_opencost: bool = False,
        is_reconciled: bool = True,
    ) -> AllocationQuestion:
        """Return the question.

        Args:
            given: all parameters, for v1 filters.
            now: an aware time, whose offset is the one by which days are meant.
            defaults: how costs are shared where the parameters do not say.
            is_opencost: whether to answer as OpenCost does: one set without `step`, idle only when asked for.
            is_reconciled: False for routes that never are.

        Raises:
            ValueError: a parameter has no such form.
        """
        window, step = self.read_window(now), self._step(is_opencost=is_opencost)
        if isinstance(step, Hours) and window.end - window.start > MAX_HOURLY_DAYS * DAY:
            raise QuestionError(
                f"window: {(window.end - window.start).days:,} days by the hour, at most {MAX_HOURLY_DAYS} are "
                "answered: ask for a shorter window, or for days."
            )
        wanted_idle = self.include_idle if is_opencost else (self.idle if self.idle is not None else self.include_idle)
        question = AllocationQuestion(
            window=window,
            aggregate=allocation_names.parse_aggregate(self.aggregate),
            step=step,
            filter=self._read_filter(given, allocation_names.filter_fields(), allocation_names.v1_fields()),
            idle=not is_opencost if wanted_idle is None else wanted_idle,
            share_idle=defaults.share_idle != "keep" if self.share_idle is None else self.share_idle,
            split_idle=self.split_idle or (is_opencost and self.idle_by_node),
            idle_by=self._idle_by(defaults),
            external=self.external,
            is_reconciled=is_reconciled and self.reconcile and not self.disable_adjustments,
            share_tenancy_costs=_given(self.share_tenancy_costs, defaults.share_tenancy_costs),
            share_namespaces=_names(_given(self.share_namespaces, ",".join(defaults.share_namespaces))),
            share_labels=tuple(
                _label(text) for text in _names(_given(self.share_labels, ",".join(defaults.share_labels)))
            ),
            share_cost=_given(self.share_cost, defaults.share_cost),
            is_shared_evenly=_given(self.share_split, defaults.share_split) == "even",
        )
        return question.accumulated if self._is_accumulated else question

    def _idle_by(self, defaults: AllocationSettings) -> IdleBy:
        if self.idle_by_node:
            return "node"
        return "cluster" if self.share_idle is not None or defaults.share_idle == "keep" else defaults.share_idle

    def _step(self, *, is_opencost: bool) -> Step | Days | Hours:
        if self.accumulate_by:
            return self._accumulated_by(self.accumulate_by)
        found, step = self._accumulated_by(self.accumulate), _parse_step(self.step) if self.step else None
        if found is Step.ALL:
            # The window in one: of whole days, unless the step is finer.
            return step if isinstance(step, Hours) else found
        if step or isinstance(found, Hours):
            return step or found
        return Step.ALL if is_opencost else found

    def _accumulated_by(self, text: str) -> Step | Hours:
        return Hours(1) if text.strip().lower() == "hour" else self.model_copy(update={"accumulate": text}).read_step()

    @property
    def _is_accumulated(self) -> bool:
        return not self.accumulate_by and self._accumulated_by(self.accumulate) is Step.ALL


class AssetParameters(_Windowed):
    """Parameters of `/model/assets`."""

    disable_adjustments: bool = Field(False, alias="disableAdjustments", description="`true`: estimates only.")

    def question(self, given: Mapping[str, str], now: datetime) -> AssetQuestion:
        """Return the question; raises ValueError."""
        return AssetQuestion(
            window=self.read_window(now),
            aggregate=assets.parse_aggregate(self.aggregate),
            step=self.read_step(),
            filter=self._read_filter(given, assets.FIELDS, assets.V1_FIELDS),
            is_adjusted=not self.disable_adjustments,
        )


Metric = Literal["listCost", "netCost", "amortizedNetCost", "invoicedCost", "amortizedCost"]


class CloudCostParameters(_Windowed):
    """Parameters of `/model/cloudCost`."""

    cost_metric: str = Field(
        "amortizedNetCost",
        alias="costMetric",
        max_length=40,
        description=f"Metric of the views: {', '.join(cloud_costs.METRICS)}.",
    )
    sort_by: Literal["cost", "name", "kubernetesPercent"] = Field(
        "cost", alias="sortBy", description="Order of the table."
    )
    sort_direction: Literal["asc", "desc"] = Field("desc", alias="sortDirection", description="Of that order.")

    @property
    def metric(self) -> str:
        """The metric, however its first letter is written.

        Raises:
            QuestionError: there is none of that name.
        """
        by_name = {name.lower(): name for name in cloud_costs.METRICS}
        if self.cost_metric.lower() not in by_name:
            raise QuestionError(
                f"costMetric: unknown {self.cost_metric!r}; accepted are {', '.join(cloud_costs.METRICS)}"
            )
        return by_name[self.cost_metric.lower()]

    def question(self, given: Mapping[str, str], now: datetime) -> CloudCostQuestion:
        """Return the question; raises ValueError."""
        return CloudCostQuestion(
            window=self.read_window(now),
            aggregate=cloud_costs.parse_aggregate(self.aggregate),
            step=self.read_step(),
            filter=self._read_filter(given, cloud_costs.FIELDS, cloud_costs.V1_FIELDS),
        )


def _given(value: Given | None, otherwise: Given) -> Given:
    return otherwise if value is None else value


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _label(text: str) -> tuple[str, str]:
    key, colon, value = text.partition(":")
    if not colon:
        raise QuestionError(f"shareLabels: expected `key:value`, got {text[:80]!r}")
    return key.strip(), value.strip()


def _parse_step(text: str) -> Days | Hours:
    found = re.fullmatch(r"([1-9][0-9]{0,3})(h|d|w)", text)
    hours = int(found[1]) * {"h": 1, "d": 24, "w": 168}[found[2]] if found else 0
    if not hours:
        raise QuestionError(f"step: illegal {text!r}; a step is 1h, 6h, 1d, 24h, 7d, 1w …")
    return Hours(hours) if hours % 24 else Days(hours // 24)
