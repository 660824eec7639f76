"""Routes that only the dashboard asks. Parse, call operations, answer in the API's envelope `{code, data}`."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import date, datetime
from functools import cache
from mimetypes import guess_type
from pathlib import Path
from tempfile import gettempdir
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, FastAPI, HTTPException, Query, Request
from fastapi.responses import Response

from kubecost_pipelines.api.answers import Answers
from kubecost_pipelines.api.errors import ApiError
from kubecost_pipelines.core.settling import settled_days
from kubecost_pipelines.core.tables import ASSET_COSTS
from kubecost_pipelines.core.window import Window
from kubecost_pipelines.core.window_parser import parse_window
from kubecost_pipelines.dashboard import STATIC
from kubecost_pipelines.defs.workbench import Workbench
from kubecost_pipelines.lake import Lake
from kubecost_pipelines.operations import questions
from kubecost_pipelines.operations.connections import read_connections
from kubecost_pipelines.operations.errors import (
    AlreadyRunningError,
    IllegalWindowError,
    OperationError,
    UnknownTargetError,
)
from kubecost_pipelines.operations.explain import NothingToExplainError
from kubecost_pipelines.operations.lake_answers import answer
from kubecost_pipelines.operations.pipelines import Pipeline, Plan, plan_rebuild, plan_repair
from kubecost_pipelines.operations.reasons import reasons_of_asset, reasons_of_workload
from kubecost_pipelines.operations.serving import Serving
from kubecost_pipelines.operations.webserver import Webserver
from kubecost_pipelines.settings import Settings
from kubecost_pipelines.settings.locations import locate

Envelope = dict[str, Any]
Name = Annotated[str, Query(max_length=253)]

WORKLOAD_COLUMNS = ("cluster", "namespace", "controller", "pod", "node", "container")
_REBUILD: Mapping[Pipeline, str] = {
    "cloud-assets": "/model/etl/asset/cloud/",
    "reconciliation": "/model/etl/asset/reconciliation/",
    "allocations": "/model/etl/allocation/",
}


_CODES = (
    (IllegalWindowError, 400),
    (UnknownTargetError, 404),
    (NothingToExplainError, 404),
    (AlreadyRunningError, 409),
)


def mount_dashboard(app: FastAPI) -> None:
    """Add the dashboard's pages and routes to the API's application."""
    settings: Settings = app.state.settings
    serving: Serving = app.state.serving
    app.include_router(build_router(Workbench(settings), lambda: serving.reader.version))

    @app.exception_handler(OperationError)
    async def _operation_error(_request: Request, error: OperationError) -> Response:
        code = next((code for kind, code in _CODES if isinstance(error, kind)), 503)
        return _json({"code": code, "message": str(error)}, code)


def build_router(workbench: Workbench, version: Callable[[], str]) -> APIRouter:
    """Return the dashboard's pages and routes.

    Args:
        workbench: opens the lake of the deployment.
        version: tells whether the lake has changed: an answer is remembered until it has.
    """
    router = APIRouter(include_in_schema=False)
    settings = workbench.settings
    answers = Answers()

    def remembered(request: Request, make: Callable[[], Any]) -> Response:
        key = (version(), str(request.url.path), str(request.url.query))
        return answers.answer(request, key, lambda: _encoded(make()), "application/json")

    @router.get("/")
    def page(request: Request) -> Response:
        return _file(answers, request, "index.html", "no-cache")

    @router.get("/ui/assets/{name}")
    def built_file(request: Request, name: str) -> Response:
        if name not in _built_files():
            raise HTTPException(404, "the dashboard has been updated: load the page again")
        # The name carries the hash of the content.
        return _file(answers, request, f"assets/{name}", "public, max-age=31536000, immutable")

    @router.get("/dashboard/context")
    def context(request: Request) -> Envelope:
        lake = Lake(locate(settings.lake), Path(gettempdir()))
        # Whoever may not operate is refused by the guard all the same; this only hides the buttons.
        may_operate = getattr(getattr(request.state, "caller", None), "role", "operate") == "operate"
        return _data(_context(settings, lake, workbench.clock(), can_operate=may_operate))

    @router.get("/dashboard/spend")
    def spend(request: Request, window: str, by: Literal["cluster", "cloud", "service"] = "cluster") -> Response:
        def make() -> Any:
            with workbench.open() as tools:
                asked = _window(window, tools.now)
                rows = answer(tools, questions.spend(by, asked, _cost_column(settings)), asked.days)
                settled = set(tools.settled(asked.days))
            return {"rows": [{**row, "is_settled": row["date"] in settled} for row in rows]}

        return remembered(request, make)

    @router.get("/dashboard/conservation")
    def conservation(request: Request, window: str) -> Response:
        def make() -> Any:
            with workbench.open() as tools:
                asked = _window(window, tools.now)
                rows = answer(tools, questions.conservation(asked, _cost_column(settings)), asked.days)
            names = {str(store.key): store.name or store.key.id for store in settings.cloud_stores}
            return {"rows": [_conserved(row, names.get(row["bill_of"], row["bill_of"])) for row in rows]}

        return remembered(request, make)

    @router.get("/dashboard/explain")
    def explanation(
        request: Request,
        cluster: Name,
        day: Annotated[date, Query(alias="date")],
        namespace: Name = "",
        pod: Name = "",
        asset: Name = "",
        asset_type: Annotated[str, Query(alias="type", max_length=40)] = "",
    ) -> Response:
        def make() -> Any:
            if asset_type:
                return reasons_of_asset(workbench, cluster, day, asset, asset_type)
            return reasons_of_workload(workbench, cluster, day, namespace, pod)

        return remembered(request, make)

    @router.get("/dashboard/connections")
    def connections() -> Envelope:
        with workbench.open() as tools:
            found = [asdict(one) for one in read_connections(tools)]
        for one in found:
            one["days"] = [{"date": day, "state": state} for day, state in one["days"]]
        return _data({"connections": found})

    @router.get("/dashboard/query")
    def query(view: str, request: Request) -> Envelope:
        given = {name: value[:500] for name, value in request.query_params.items()}
        asked = _window(given.get("window", "1d"), workbench.clock())
        duckdb = _question(view, given, asked, settings, "duckdb")
        athena = _question(view, given, asked, settings, "athena")
        lake = settings.lake.removeprefix("file://")
        return _data({"title": duckdb.title, "duckdb": duckdb.for_duckdb(lake), "athena": athena.for_athena()})

    @router.get("/dashboard/plan")
    def plan(
        operation: Literal["repair", "rebuild"],
        pipeline: Pipeline,
        key: str,
        window: Annotated[str, Query(max_length=100)] = "",
    ) -> Envelope:
        """Say what an operation would run; nothing runs."""
        graph = Webserver(settings.dagster_url).graph()
        if operation == "rebuild":
            planned = plan_rebuild(graph, pipeline, key)
        else:
            planned = plan_repair(graph, pipeline, window, workbench.clock().astimezone(settings.zone), key)
        return _data(_planned(planned, key, window))

    @router.get("/dashboard/operations/{backfill_id}")
    def progress(backfill_id: str) -> Envelope:
        webserver = Webserver(settings.dagster_url)
        found = webserver.backfill(backfill_id[:64])
        return _data(
            {
                "id": found.id,
                "status": found.status,
                "done": found.written,
                "failed": sum((found.failed or {}).values()),
                "total": found.targeted,
                "is_over": found.has_ended,
                "url": webserver.link(found.id),
            }
        )

    return router


def _data(data: Any) -> Envelope:
    return {"code": 200, "data": data}


def _encoded(data: Any) -> bytes:
    return msgspec.json.encode(_data(data))


def _json(body: Envelope, code: int) -> Response:
    return Response(msgspec.json.encode(body), code, media_type="application/json")


@cache
def _built_files() -> frozenset[str]:
    return frozenset(path.name for path in (STATIC / "assets").iterdir())


def _file(answers: Answers, request: Request, name: str, caching: str) -> Response:
    media_type = guess_type(name)[0] or "application/octet-stream"
    response = answers.answer(request, ("file", name), (STATIC / name).read_bytes, media_type)
    response.headers["Cache-Control"] = caching
    return response


def _conserved(row: Mapping[str, Any], title: str) -> dict[str, Any]:
    """Return a bill's sums as text: JSON's numbers would not keep all decimals."""
    costs = {name: f"{row[name].normalize():f}" for name in ("bill", "in_clusters", "out_of_clusters", "difference")}
    return {"key": row["bill_of"], "title": title, "days": row["days"], **costs}


def _context(settings: Settings, lake: Lake, now: datetime, *, can_operate: bool) -> dict[str, Any]:
    days = lake.days(ASSET_COSTS, ())
    settled = settled_days(days, now, settings.settle_after)
    currencies = [cluster.currency for cluster in settings.clusters] or ["USD"]
    return {
        "currency": currencies[0],
        "today": now.date(),
        "first_day": days[0] if days else None,
        "last_day": days[-1] if days else None,
        "settled_until": settled[-1] if settled else None,
        "clusters": [{"name": one.name, "provider": one.provider} for one in settings.clusters],
        "cloud_stores": [
            {"key": str(one.key), "title": one.name or one.key.id, "provider": one.provider}
            for one in settings.cloud_stores
        ],
        "label_keys": settings.label_keys,
        "dagster_url": settings.dagster_url,
        "can_operate": can_operate,
    }


def _planned(plan: Plan, key: str, window: str) -> dict[str, Any]:
    asked = {"commit": "true", "provider": key}
    if plan.verb == "repair":
        asked["window"] = window
    verb = "run" if plan.pipeline == "reconciliation" and plan.verb == "rebuild" else plan.verb
    return {
        "sentence": f"{plan.in_words}.",
        "assets": [{"key": name, "days": len(plan.days)} for name in plan.assets],
        "first_day": plan.days[0],
        "last_day": plan.days[-1],
        "path": f"{_REBUILD[plan.pipeline]}{verb}",
        "parameters": asked,
    }


def _window(text: str, now: datetime) -> Window:
    try:
        return parse_window(text, now)
    except ValueError as error:
        raise ApiError(400, str(error)) from None


def _cost_column(settings: Settings) -> str:
    return f"{settings.cost_metric}_cost"


def _question(  # noqa: PLR0911 - one per view
    view: str, given: Mapping[str, str], window: Window, settings: Settings, dialect: questions.Dialect
) -> questions.Question:
    """Return the question that a view's panel answers.

    Raises:
        ApiError: 400 for a view or a parameter that the dashboard has not.
    """
    kind, group = given.get("kind", "total"), given.get("group", "")
    label_groups = [f"label:{key}" for key in settings.label_keys]
    try:
        match view:
            case "spend":
                return questions.spend(given.get("by", "cluster"), window, _cost_column(settings))
            case "conservation":
                return questions.conservation(window, _cost_column(settings))
            case "workloads" if group in (*WORKLOAD_COLUMNS, *label_groups):
                filters = {name: given[name] for name in (*WORKLOAD_COLUMNS, "label") if name in given}
                return questions.workloads(kind, group, filters, window, dialect)
            case "assets":
                return questions.assets(kind, given.get("type", ""), given.get("cluster", ""), window)
            case "cloud":
                filters = {name: given[name] for name in questions.BILL_COLUMNS if name in given}
                return questions.cloud_costs(kind, group, given.get("metric", ""), filters, window)
            case "why":
                return questions.reasons(given)
            case "connections" if given.get("kind") == "cluster":
                return questions.collected("allocations")
            case "connections":
                return questions.connections()
    except KeyError:
        pass
    raise ApiError(400, f"no query for view={view[:40]}, group={group[:40]}: take the address from the dashboard")
