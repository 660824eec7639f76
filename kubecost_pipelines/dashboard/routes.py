"""Routes that only the dashboard asks. Parse, call operations, answer in the API's envelope `{code, data}`."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import cached_property
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import Response

from kubecost_pipelines.api.answers import Answers, envelope
from kubecost_pipelines.api.app import failure
from kubecost_pipelines.api.operation_routes import as_api_error
from kubecost_pipelines.api.parameters import read_window
from kubecost_pipelines.core.settling import settled_days
from kubecost_pipelines.dashboard.action_routes import action_routes
from kubecost_pipelines.dashboard.pages import page_routes
from kubecost_pipelines.dashboard.queries import shown_query
from kubecost_pipelines.operations.errors import OperationError
from kubecost_pipelines.operations.serving import Serving
from kubecost_pipelines.operations.webserver import Webserver
from kubecost_pipelines.serving.reader import StoreNotReadyError
from kubecost_pipelines.settings import Settings

if TYPE_CHECKING:
    from kubecost_pipelines.dashboard.figures import Figures

Name = Annotated[str, Query(max_length=253)]


def mount_dashboard(app: FastAPI) -> None:
    """Add the dashboard's pages and routes to the API's application."""
    settings: Settings = app.state.settings

    def clock() -> datetime:
        return datetime.now(UTC)

    for router in (
        page_routes(),
        FigureRoutes(settings, app.state.serving, clock).router,
        action_routes(settings, clock),
    ):
        app.include_router(router)

    @app.exception_handler(OperationError)
    async def _operation_error(_request: Request, error: OperationError) -> Response:
        refused = as_api_error(error)
        return failure(refused.code, refused.message)


def warm_up() -> None:
    """Load what figures need while nobody waits for it."""
    Thread(target=import_module, args=("kubecost_pipelines.dashboard.figures",), daemon=True).start()


class FigureRoutes:
    """What views show beside costs; each answer is remembered until the lake changes."""

    def __init__(self, settings: Settings, serving: Serving, clock: Callable[[], datetime]) -> None:
        self._settings, self._serving, self._clock = settings, serving, clock
        self._answers = Answers()
        self.router = APIRouter(include_in_schema=False)
        for name, route in (
            ("context", self.context),
            ("spend", self.spend),
            ("conservation", self.conservation),
            ("explain", self.explain),
            ("connections", self.connections),
            ("query", self.query),
        ):
            self.router.add_api_route(f"/dashboard/{name}", route, methods=["GET"])

    @cached_property
    def _figures(self) -> "Figures":
        from kubecost_pipelines.dashboard.figures import Figures  # noqa: PLC0415 - takes seconds

        return Figures(self._settings, self._serving.reader.query_seconds)

    def _remembered(self, request: Request, make: Callable[[], Any]) -> Response:
        key = (self._serving.reader.version, str(request.url.path), str(request.url.query))
        return self._answers.answer(request, key, lambda: envelope(make()), "application/json")

    def context(self, request: Request) -> dict[str, Any]:
        """Say what the deployment is, and which days it has."""
        # Whoever may not operate is refused by the guard all the same; this only hides the buttons.
        may_operate = getattr(getattr(request.state, "caller", None), "role", "operate") == "operate"
        return {"code": 200, "data": {**self._context(), "can_operate": may_operate}}

    def spend(self, request: Request, window: str, by: Literal["cluster", "cloud", "service"] = "cluster") -> Response:
        """Say what is spent per day."""
        return self._remembered(request, lambda: self._figures.spend(window, by))

    def conservation(self, request: Request, window: str) -> Response:
        """Say where the cost of every bill went."""
        return self._remembered(request, lambda: self._figures.conservation(window))

    def explain(
        self,
        request: Request,
        cluster: Name,
        day: Annotated[date, Query(alias="date")],
        namespace: Name = "",
        pod: Name = "",
        asset: Name = "",
        asset_type: Annotated[str, Query(alias="type", max_length=40)] = "",
    ) -> Response:
        """Say why something cost what it did."""
        subject = {"namespace": namespace, "pod": pod, "asset": asset, "asset_type": asset_type}
        return self._remembered(request, lambda: self._figures.explanation(cluster, day, **subject))

    def connections(self) -> Response:
        """Say how every bill and cluster is."""
        return Response(envelope(self._figures.connections()), media_type="application/json")

    def query(self, request: Request, view: str) -> dict[str, Any]:
        """Show a view's question as SQL."""
        given = {name: value[:500] for name, value in request.query_params.items()}
        window = read_window(given.get("window", "1d"), self._clock())
        return {"code": 200, "data": shown_query(view, given, window, self._settings)}

    def _context(self) -> dict[str, Any]:
        settings, now = self._settings, self._clock()
        days = self._days()
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
            "dagster_url": Webserver(settings.dagster_url).url,
        }

    def _days(self) -> list[date]:
        sql = "SELECT DISTINCT day FROM lake_files WHERE stored_in = 'assets' ORDER BY day"
        try:
            return [row["day"] for row in self._serving.reader.query(sql)]
        except StoreNotReadyError:
            return []
