"""Status routes: how every process stands, in Kubecost's and OpenCost's shapes."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

from kubecost_pipelines.api.describing import Schema, errors
from kubecost_pipelines.api.errors import ApiError
from kubecost_pipelines.core.connection_status import ConnectionStatus
from kubecost_pipelines.operations.errors import NoDagsterError
from kubecost_pipelines.settings import Settings

if TYPE_CHECKING:
    from kubecost_pipelines.operations.status import Status, StoreStatus

_ERRORS = errors(401, 403, 429, 503)


def status_routes(settings: Settings, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> APIRouter:
    """Return `/model/etl/status` and `/cloudCost/status`."""
    router = APIRouter(tags=["status"])

    def etl_status() -> dict[str, Any]:
        """Coverage, last and next run, progress: of allocations, assets, and both processes of every bill."""
        return {"code": 200, "data": _read(settings, clock()).to_json()}

    def cloud_cost_status() -> dict[str, Any]:
        """Every bill: its connection, and how far its out-of-cluster cost reaches."""
        stores = _read(settings, clock()).cloud
        return {"code": 200, "data": [_integration(key, store) for key, store in stores.items()]}

    for path in ("/model/etl/status", "/etl/status"):
        _add(router, path, etl_status, _ETL)
    for path in ("/cloudCost/status", "/model/cloudCost/status"):
        _add(router, path, cloud_cost_status, _CLOUD)
    return router


def _add(router: APIRouter, path: str, endpoint: Callable[[], dict[str, Any]], example: Any) -> None:
    name = path.strip("/").replace("/", "_")
    answers = {200: _answer(example), **_ERRORS}
    router.add_api_route(path, endpoint, methods=["GET"], operation_id=name, responses=answers)


def _read(settings: Settings, now: datetime) -> "Status":
    # Dagster takes a second to load, and only these routes need it.
    from kubecost_pipelines.operations.status import current_status  # noqa: PLC0415

    try:
        return current_status(settings, now)
    except NoDagsterError as error:
        raise ApiError(503, str(error)) from error


def _integration(key: str, store: "StoreStatus") -> dict[str, Any]:
    usage = store.cloud_usage
    told, window = usage.to_json(), usage.coverage
    return {
        "key": key,
        "source": "kubecost-pipelines",
        "provider": store.provider,
        "active": not usage.is_off,
        "valid": store.connection is not ConnectionStatus.INCOMPLETE_CONFIGURATION,
        "lastRun": told.get("lastRun"),
        "nextRun": told.get("nextRun"),
        "RefreshRate": told.get("refreshRate"),
        "created": told.get("startTime"),
        "runs": usage.days,
        "coverage": f"[{window.start:%Y-%m-%dT%H:%M:%S%z}, {window.end:%Y-%m-%dT%H:%M:%S%z})" if window else "",
        "connectionStatus": store.connection.value,
        "cure": store.cure,
        # Of the settings nothing but names gets out.
        "config": {"title": store.title},
    }


_ETL = {"allocation": {"progress": 1.0}, "assets": {"progress": 1.0}, "cloud": {}}
_CLOUD = [{"key": "aws/111122223333", "provider": "aws", "connectionStatus": "SUCCESSFUL_CONNECTION"}]


def _answer(example: Any) -> dict[str, Any]:
    schema: Schema = {
        "type": "object",
        "required": ["code", "data"],
        "properties": {
            "code": {"type": "integer"},
            "data": {"type": "array" if isinstance(example, list) else "object"},
        },
    }
    content = {"schema": schema, "example": {"code": 200, "data": example}}
    return {"description": "How it stands", "content": {"application/json": content}}
