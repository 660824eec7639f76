"""App: the routes of one deployment behind their guard."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from kubecost_pipelines import __version__
from kubecost_pipelines.api.cost_routes import CostRoutes
from kubecost_pipelines.api.errors import ApiError
from kubecost_pipelines.api.guard import Guard, Role
from kubecost_pipelines.api.health import Metrics, health_routes
from kubecost_pipelines.api.operation_routes import OperationRoutes
from kubecost_pipelines.api.status_routes import status_routes
from kubecost_pipelines.operations.costs.filters import FilterError
from kubecost_pipelines.operations.costs.questions import QuestionError
from kubecost_pipelines.operations.serving import Serving
from kubecost_pipelines.serving.reader import QueryTooLongError, StoreNotReadyError
from kubecost_pipelines.settings import Settings


def build_app(
    settings: Settings,
    serving: Serving | None = None,
    *,
    tokens: Mapping[Role, str] | None = None,
    is_limited: bool = False,
    on_start: Callable[[], None] = lambda: None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> FastAPI:
    """Return the ASGI application; nothing is read before it starts.

    Args:
        settings: the deployment.
        serving: its serving store; made from the settings when omitted.
        tokens: role -> token; without any, only the loopback's name is answered to.
        is_limited: whether requests are counted per caller.
        on_start: what else begins when the application does.
        clock: what time it is.
    """
    store = serving or Serving(settings)
    metrics, guards = Metrics(store), list[Guard]()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        store.start()
        on_start()
        yield
        store.stop()

    app = FastAPI(
        title="kubecost-pipelines",
        version=__version__,
        description="Kubecost's and OpenCost's cost routes over reconciled cost.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.settings, app.state.serving = settings, store
    app.include_router(CostRoutes(settings, store, clock).router)
    app.include_router(OperationRoutes(settings, lambda: guards[0], clock).router)
    app.include_router(status_routes(settings, clock))
    app.include_router(health_routes(store, metrics))

    def guarded(inner: ASGIApp) -> Guard:
        guards[:] = [Guard(metrics.counted(inner), tokens or {}, is_limited=is_limited)]
        return guards[0]

    app.add_middleware(guarded)
    _answer_errors(app)
    _describe(app)
    return app


def failure(code: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """Return an error as every route gives it."""
    return JSONResponse({"code": code, "message": message}, code, headers)


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(ApiError)
    async def _api_error(_request: Request, error: ApiError) -> Response:
        return failure(error.code, error.message, error.headers)

    @app.exception_handler(QuestionError)
    @app.exception_handler(FilterError)
    async def _no_sense(_request: Request, error: ValueError) -> Response:
        return failure(400, str(error))

    @app.exception_handler(StoreNotReadyError)
    async def _not_ready(_request: Request, error: StoreNotReadyError) -> Response:
        return failure(503, str(error), {"Retry-After": "5"})

    @app.exception_handler(QueryTooLongError)
    async def _too_long(_request: Request, error: QueryTooLongError) -> Response:
        return failure(503, str(error))

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> Response:
        lines = [f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()]
        missing = any(one["type"] == "missing" and one["loc"][-1] == "window" for one in error.errors())
        return failure(400, ("missing window argument; " if missing else "") + "; ".join(lines))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        headers, route = dict(error.headers or {}), request.url.path
        messages = {
            404: f"no route {route}; see /openapi.json",
            405: f"{route} cannot be asked with {request.method}: use {headers.get('Allow', 'GET')}.",
        }
        return failure(error.status_code, messages.get(error.status_code, str(error.detail)), headers)


def _describe(app: FastAPI) -> None:
    def describe() -> dict[str, Any]:
        if not app.openapi_schema:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            for path in schema["paths"].values():
                for operation in path.values():
                    # A question that cannot be read is answered with 400, as Kubecost does.
                    operation.get("responses", {}).pop("422", None)
            for name in ("HTTPValidationError", "ValidationError"):
                schema.get("components", {}).get("schemas", {}).pop(name, None)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign] # FastAPI's documented way
