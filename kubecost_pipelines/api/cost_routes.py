"""Cost routes: allocations, assets and cloud costs, in Kubecost's shapes (under `/model`) and OpenCost's."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from kubecost_pipelines.api import shapes
from kubecost_pipelines.api.allocation_shapes import allocations_json, summaries_json
from kubecost_pipelines.api.answers import Answers, envelope
from kubecost_pipelines.api.describing import documented
from kubecost_pipelines.api.parameters import AllocationParameters, AssetParameters, CloudCostParameters
from kubecost_pipelines.operations.costs import assets, cloud_costs
from kubecost_pipelines.operations.costs.allocations import AllocationCosts, Allocations
from kubecost_pipelines.operations.costs.cloud_costs import CloudCostSet
from kubecost_pipelines.operations.costs.questions import Step, whole_days
from kubecost_pipelines.operations.serving import Serving
from kubecost_pipelines.settings import Settings

AllocationQuery = Annotated[AllocationParameters, Query()]
AssetQuery = Annotated[AssetParameters, Query()]
CloudCostQuery = Annotated[CloudCostParameters, Query()]
NAMED_CLUSTERS = 10
"""Clusters that a warning names."""


class CostRoutes:
    """The routes of one deployment."""

    def __init__(
        self, settings: Settings, serving: Serving, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._settings, self._serving, self._clock = settings, serving, clock
        self._allocations = AllocationCosts(serving.reader, settings.label_keys)
        self.answers = Answers()
        self.router = APIRouter(tags=["costs"])
        both = ("/model", "")
        self._add("/model/allocation/summary", self.allocation_summary, "allocation_summary")
        self._add("/allocation/summary", self.opencost_allocation_summary, "allocation_summary")
        for prefix in both:
            self._add(f"{prefix}/allocation/summary/topline", self.allocation_topline, "allocation_topline")
            self._add(f"{prefix}/allocation/compute", self.allocation_compute, "allocation_sets")
            self._add(f"{prefix}/assets/topline", self.asset_topline, "asset_topline")
            for route in ("cloudCost", "cloudCost/top", "cloudCost/aggregate"):
                self._add(f"{prefix}/{route}", self.cloud_cost, "cloud_costs")
            for view, shape in (
                (self.view_graph, "view_graph"),
                (self.view_totals, "view_totals"),
                (self.view_table, "view_table"),
            ):
                self._add(f"{prefix}/cloudCost/view/{shape.removeprefix('view_')}", view, shape)
        self._add("/model/allocation", self.allocation, "allocation_sets")
        self._add("/allocation", self.opencost_allocation, "allocation_sets")
        self._add("/model/assets", self.asset_list, "asset_sets")
        self._add("/assets", self.asset_map, "asset_map")

    def _add(self, path: str, endpoint: Callable[..., Response], shape: str) -> None:
        self.router.add_api_route(
            path, endpoint, methods=["GET"], operation_id=path.strip("/").replace("/", "_"), **documented(shape, path)
        )

    def allocation(self, request: Request, parameters: AllocationQuery) -> Response:
        """Workload costs as Kubecost answers them: a list with one map per day, or per `accumulate`."""
        return self._allocation(request, parameters)

    def opencost_allocation(self, request: Request, parameters: AllocationQuery) -> Response:
        """Workload costs as OpenCost answers them: one map for the window, or one per `step`."""
        return self._allocation(request, parameters, is_opencost=True)

    def allocation_compute(self, request: Request, parameters: AllocationQuery) -> Response:
        """As `/allocation`, on demand upstream and therefore never reconciled: every adjustment is 0."""
        return self._allocation(request, parameters, is_opencost=True, is_reconciled=False)

    def _allocation(
        self,
        request: Request,
        parameters: AllocationParameters,
        *,
        is_opencost: bool = False,
        is_reconciled: bool = True,
    ) -> Response:
        question = parameters.question(
            request.query_params,
            self._now(),
            self._settings.allocation,
            is_opencost=is_opencost,
            is_reconciled=is_reconciled,
        )
        key = ("allocation", self._serving.reader.version, question, *_page(parameters), parameters.cost_metric)
        if parameters.format == "csv":
            question = question.accumulated

        def make() -> bytes:
            found = self._allocations.ask(question)
            kept = found.cut(parameters.offset, parameters.limit)
            answered = kept.split(allocations_json(kept, parameters.cost_metric))
            return _csv(answered) if parameters.format == "csv" else envelope(answered, _warning(found))

        return self.answers.answer(request, key, make, _media_type(parameters.format))

    def allocation_summary(self, request: Request, parameters: AllocationQuery) -> Response:
        """Workload costs with fewer fields, one set per day, or per `accumulate`; adjustments are part of each cost."""
        return self._summary(request, parameters)

    def opencost_allocation_summary(self, request: Request, parameters: AllocationQuery) -> Response:
        """The same as OpenCost answers it: one set for the window, or one per `step`."""
        return self._summary(request, parameters, is_opencost=True)

    def _summary(self, request: Request, parameters: AllocationParameters, *, is_opencost: bool = False) -> Response:
        question = parameters.question(
            request.query_params, self._now(), self._settings.allocation, is_opencost=is_opencost
        )
        key = ("summary", self._serving.reader.version, question, *_page(parameters), parameters.cost_metric)

        def make() -> bytes:
            found = self._allocations.ask(question)
            kept = found.cut(parameters.offset, parameters.limit)
            answered = kept.split(summaries_json(kept, parameters.cost_metric))
            if parameters.format == "csv":
                return _csv(answered)
            sets = [
                {"allocations": items, "window": shapes.window_json(start, end)}
                for items, (start, end) in zip(answered, found.sets, strict=True)
            ]
            window = shapes.window_json(*question.bounds)
            return envelope({"step": _step_nanoseconds(found), "sets": sets, "window": window}, _warning(found))

        return self.answers.answer(request, key, make, _media_type(parameters.format))

    def allocation_topline(self, request: Request, parameters: AllocationQuery) -> Response:
        """The sum of all items of the window, and how many there are."""
        question = parameters.question(request.query_params, self._now(), self._settings.allocation).accumulated
        key = ("topline", self._serving.reader.version, question, parameters.cost_metric)

        def make() -> bytes:
            found = self._allocations.ask(question)
            rows = summaries_json(found, parameters.cost_metric)
            combined = {"allocations": {"total": _total(rows)}, "window": shapes.window_json(*question.bounds)}
            return envelope({"numResults": len(rows), "combined": combined}, _hours_warning(found))

        return self.answers.answer(request, key, make, "application/json")

    def asset_list(self, request: Request, parameters: AssetQuery) -> Response:
        """Assets as Kubecost answers them: a list with one map per day; what no cluster claims is of type Cloud."""
        return self._assets(request, parameters, as_list=True)

    def asset_map(self, request: Request, parameters: AssetQuery) -> Response:
        """Assets as OpenCost answers them: one map for the whole window."""
        return self._assets(request, parameters, as_list=False)

    def _assets(self, request: Request, parameters: AssetParameters, *, as_list: bool) -> Response:
        question = parameters.question(request.query_params, self._now())
        if not as_list or parameters.format == "csv":
            question = _accumulated(question)
        key = ("assets", as_list, self._serving.reader.version, question, *_page(parameters))

        def make() -> bytes:
            sets = assets.ask(self._serving.reader, question)
            answered = [{asset.name: shapes.asset_json(asset, one) for asset in _cut(one, parameters)} for one in sets]
            if parameters.format == "csv":
                return _csv(answered)
            return envelope(answered if as_list else (answered[0] if answered else {}))

        return self.answers.answer(request, key, make, _media_type(parameters.format))

    def asset_topline(self, request: Request, parameters: AssetQuery) -> Response:
        """The total cost of all assets of the window, their adjustment, and how many there are."""
        question = _accumulated(parameters.question(request.query_params, self._now()))
        key = ("asset topline", self._serving.reader.version, question)

        def make() -> bytes:
            found = [asset for one in assets.ask(self._serving.reader, question) for asset in one.items]
            data = {
                "totalCost": round(sum(asset.total for asset in found), shapes.DECIMALS),
                "adjustment": round(sum(asset.values["adjustment"] for asset in found), shapes.DECIMALS),
                "numResults": len(found),
            }
            return envelope(data)

        return self.answers.answer(request, key, make, "application/json")

    def cloud_cost(self, request: Request, parameters: CloudCostQuery) -> Response:
        """What is on the bills, in five metrics, each with the share that Kubernetes caused."""
        question = parameters.question(request.query_params, self._now())
        if parameters.format == "csv":
            question = _accumulated(question)
        key = ("cloud", self._serving.reader.version, question, *_page(parameters))

        def make() -> bytes:
            sets = cloud_costs.ask(self._serving.reader, question, self._settings.label_keys)
            answered = [
                {item.name: shapes.cloud_cost_json(item, one) for item in _cut(one, parameters)} for one in sets
            ]
            if parameters.format == "csv":
                return _csv(answered)
            first, end = whole_days(question.window)
            found = [
                {
                    "cloudCosts": items or None,
                    "window": shapes.window_json(one.start, one.end),
                    "aggregationProperties": list(one.aggregate),
                }
                for items, one in zip(answered, sets, strict=True)
            ]
            window = shapes.window_json(first, end) if sets else {"start": "null", "end": "null"}
            return envelope({"sets": found, "window": window})

        return self.answers.answer(request, key, make, _media_type(parameters.format))

    def view_graph(self, request: Request, parameters: CloudCostQuery) -> Response:
        """Cloud costs to draw: per set, names and values."""
        metric = parameters.metric

        def shape(sets: list[CloudCostSet]) -> Any:
            return [
                {
                    **shapes.window_json(one.start, one.end),
                    "items": [
                        {"name": item.name, "value": round(item.cost(metric), shapes.DECIMALS)}
                        for item in _cut(one, parameters)
                    ],
                }
                for one in sets
            ]

        return self._view(request, parameters, "graph", shape)

    def view_totals(self, request: Request, parameters: CloudCostQuery) -> Response:
        """The total of the window, and how many items there are."""
        metric = parameters.metric

        def shape(sets: list[CloudCostSet]) -> Any:
            items = [item for one in sets for item in one.items]
            cost = sum(item.cost(metric) for item in items)
            of_kubernetes = sum(item.costs[metric][1] for item in items)
            combined = {
                "name": "Totals",
                "labels": {},
                "kubernetesPercent": round(of_kubernetes / cost, shapes.DECIMALS) if cost > 0 else 0.0,
                "cost": round(cost, shapes.DECIMALS),
            }
            return {"numResults": len(items), "combined": combined}

        return self._view(request, parameters, "totals", shape, is_accumulated=True)

    def view_table(self, request: Request, parameters: CloudCostQuery) -> Response:
        """The items of the window as lines of a table, in the order that `sortBy` says."""
        metric = parameters.metric
        orders: dict[str, Callable[[dict[str, Any]], Any]] = {
            "cost": lambda row: (row["cost"], row["name"]),
            "name": lambda row: row["name"],
            "kubernetesPercent": lambda row: (row["kubernetesPercent"], row["name"]),
        }

        def shape(sets: list[CloudCostSet]) -> Any:
            rows = [shapes.view_row(item, metric) for one in sets for item in one.items]
            rows.sort(key=orders[parameters.sort_by], reverse=parameters.sort_direction == "desc")
            return rows[parameters.offset : _end(parameters)]

        return self._view(request, parameters, "table", shape, is_accumulated=True)

    def _view(
        self,
        request: Request,
        parameters: CloudCostParameters,
        name: str,
        shape: Callable[[list[CloudCostSet]], Any],
        *,
        is_accumulated: bool = False,
    ) -> Response:
        question = parameters.question(request.query_params, self._now())
        if is_accumulated:
            question = _accumulated(question)
        key = (name, self._serving.reader.version, question, parameters)

        def make() -> bytes:
            data = shape(cloud_costs.ask(self._serving.reader, question, self._settings.label_keys))
            if parameters.format == "csv" and name == "table":
                return shapes.as_csv(data).encode()
            return envelope(data)

        return self.answers.answer(request, key, make, _media_type(parameters.format if name == "table" else "json"))

    def _now(self) -> datetime:
        return self._clock().astimezone(self._settings.zone)


def _accumulated(question: Any) -> Any:
    return replace(question, step=Step.ALL)


def _page(parameters: AllocationParameters | AssetParameters | CloudCostParameters) -> tuple[object, ...]:
    return parameters.offset, parameters.limit, parameters.format


def _end(parameters: AllocationParameters | AssetParameters | CloudCostParameters) -> int | None:
    return None if parameters.limit is None else parameters.offset + parameters.limit


def _cut(one: Any, parameters: Any) -> list[Any]:
    return list(one.items[parameters.offset : _end(parameters)])


def _csv(answered: Iterable[dict[str, dict[str, Any]]]) -> bytes:
    rows = [{"name": name, **item} for one in answered for name, item in one.items()]
    return shapes.as_csv(rows).encode()


def _media_type(format_: str) -> str:
    return "text/csv; charset=utf-8" if format_ == "csv" else "application/json"


def _warning(found: Allocations) -> str:
    return " ".join(filter(None, (_currency_warning(found), _hours_warning(found))))


def _hours_warning(found: Allocations) -> str:
    if not found.without_hours:
        return ""
    clusters = [f"{name} ({', '.join(map(str, days))})" for name, days in found.without_hours.items()]
    more = f" and {len(clusters) - NAMED_CLUSTERS} more" if len(clusters) > NAMED_CLUSTERS else ""
    return (
        f"left out, for there are no hours of them: {', '.join(clusters[:NAMED_CLUSTERS])}{more}. Set `step: 1h` of a "
        "cluster for those to come, or ask for days."
    )


def _currency_warning(found: Allocations) -> str:
    currencies = set(found.columns["currency"].tolist()) - {None} if found.columns else set[str]()
    if len(currencies) < 2 and "mixed" not in currencies:
        return ""
    return "costs of several currencies are side by side and, where `currency` is `mixed`, added up: filter by cluster."


def _step_nanoseconds(found: Allocations) -> int:
    return next((round((end - start).total_seconds()) * 10**9 for start, end in found.sets), 0)


_SUMMED = (
    *("cpuCost", "gpuCost", "ramCost", "networkCost", "loadBalancerCost", "pvCost", "sharedCost", "externalCost"),
    "totalCost",
)


def _total(rows: list[dict[str, Any]]) -> dict[str, Any]:
    sums = {name: round(sum(row[name] or 0.0 for row in rows), shapes.DECIMALS) for name in _SUMMED}
    weighted = sum(
        (row["totalEfficiency"] or 0.0) * ((row["cpuCost"] or 0.0) + (row["ramCost"] or 0.0)) for row in rows
    )
    cost = sums["cpuCost"] + sums["ramCost"]
    return {
        "name": "total",
        **sums,
        "totalEfficiency": round(weighted / cost, shapes.DECIMALS) if cost > 0 else 0.0,
        "reconciled": bool(rows) and all(row["reconciled"] for row in rows),
        "settled": bool(rows) and all(row["settled"] for row in rows),
    }
