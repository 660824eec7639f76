"""Operation routes: Kubecost's rebuild, repair, rerun, under every name that its documents have had."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from kubecost_pipelines.api.describing import Schema, errors
from kubecost_pipelines.api.errors import ApiError
from kubecost_pipelines.api.guard import Caller, Guard, write_audit
from kubecost_pipelines.operations.backfills import Launched, rebuild, repair
from kubecost_pipelines.operations.errors import (
    AlreadyRunningError,
    IllegalWindowError,
    NoDagsterError,
    NothingToExplainError,
    OperationError,
    UnknownTargetError,
)
from kubecost_pipelines.operations.pipelines import Pipeline
from kubecost_pipelines.operations.webserver import Webserver
from kubecost_pipelines.settings import Settings

Verb = Literal["rebuild", "repair"]
DEFAULT_WINDOW = "3d"
"""What `repair` without a window repairs: the days that bills still change."""

_CODES = (
    (IllegalWindowError, 400),
    (UnknownTargetError, 404),
    (NothingToExplainError, 404),
    (AlreadyRunningError, 409),
    (NoDagsterError, 503),
)
_TITLES: dict[Pipeline, str] = {
    "cloud-assets": "Cloud Cost",
    "reconciliation": "Reconciliation",
    "allocations": "Allocation",
}
_ASSETS, _RECONCILIATION = "/model/etl/asset/cloud", "/model/etl/asset/reconciliation"
PATHS: dict[str, tuple[Verb, Pipeline]] = {
    **{
        f"{prefix}/{verb}": (verb, "cloud-assets")
        for prefix in (_ASSETS, "/model/etl/cloudUsage", "/model/cloudCost", "/cloudCost")
        for verb in ("rebuild", "repair")
    },
    # The second spelling is a slip of Kubecost's document that scripts have copied.
    **{
        f"{prefix}/{word}": (verb, "reconciliation")  # type: ignore[misc]
        for prefix in (_RECONCILIATION, f"{_ASSETS}/reconciliation")
        for word, verb in (("rerun", "rebuild"), ("run", "rebuild"), ("repair", "repair"))
    },
    "/model/etl/allocation/rebuild": ("rebuild", "allocations"),
    "/model/etl/allocation/repair": ("repair", "allocations"),
}

_TARGET = "The ProviderKey (`aws/111122223333` or the id alone), for allocations a cluster. All when omitted."
Commit = Annotated[str, Query(description="`true` or `1` really starts it.", max_length=10)]
Provider = Annotated[str | None, Query(description=_TARGET, max_length=200)]
IntegrationKey = Annotated[
    str | None, Query(alias="integrationKey", description="Later name of `provider`.", max_length=200)
]
Window = Annotated[str, Query(description="Days to repair, as everywhere.", max_length=200, examples=["7d"])]


class OperationRoutes:
    """The routes that start something, in a running Dagster."""

    def __init__(
        self,
        settings: Settings,
        guard: Callable[[], Guard],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings, self._guard, self._clock = settings, guard, clock
        self.router = APIRouter(tags=["operations"])
        for path, (verb, pipeline) in PATHS.items():
            endpoint = self._rebuild(pipeline) if verb == "rebuild" else self._repair(pipeline)
            for method in ("GET", "POST"):
                self.router.add_api_route(
                    path,
                    endpoint,
                    methods=[method],
                    operation_id=f"{method.lower()}_{path.strip('/').replace('/', '_')}",
                    responses={200: _answer(verb, pipeline), **errors(400, 401, 403, 404, 409, 429, 503)},
                )

    def _rebuild(self, pipeline: Pipeline) -> Callable[..., Response]:
        def start_rebuild(
            request: Request, commit: Commit = "", provider: Provider = None, integration_key: IntegrationKey = None
        ) -> Response:
            """Write the whole history again; without `commit=true` nothing is started."""
            target = provider or integration_key
            given = {"commit": commit, "provider": target}
            return self._run(request, f"rebuild {pipeline}", given, lambda: self._start(pipeline, commit, target))

        return start_rebuild

    def _start(self, pipeline: Pipeline, commit: str, target: str | None) -> Launched:
        if commit.lower() not in ("true", "1"):
            raise ApiError(400, f"Pass parameter 'commit=true' to confirm {_TITLES[pipeline]} rebuild")
        return rebuild(self._webserver(), pipeline, target)

    def _repair(self, pipeline: Pipeline) -> Callable[..., Response]:
        def start_repair(
            request: Request,
            window: Window = DEFAULT_WINDOW,
            provider: Provider = None,
            integration_key: IntegrationKey = None,
        ) -> Response:
            """Write every day of the window again."""
            target = provider or integration_key
            given = {"window": window, "provider": target}
            return self._run(
                request,
                f"repair {pipeline}",
                given,
                lambda: repair(self._webserver(), pipeline, window or DEFAULT_WINDOW, self._now(), target),
            )

        return start_repair

    def _run(
        self, request: Request, what: str, given: dict[str, str | None], start: Callable[[], Launched]
    ) -> Response:
        caller: Caller = request.state.caller
        try:
            self._guard().allow_operation(caller, request.headers)
            launched = start()
        except (ApiError, OperationError) as error:
            refused = error if isinstance(error, ApiError) else as_api_error(error)
            write_audit(caller, request.state.request_id, what, given, f"{refused.code} {refused.message}")
            raise refused from error
        write_audit(caller, request.state.request_id, what, given, f"backfill {launched.backfill_id}")
        return JSONResponse(_as_json(launched))

    def _webserver(self) -> Webserver:
        return Webserver(self._settings.dagster_url)

    def _now(self) -> datetime:
        return self._clock().astimezone(self._settings.zone)


def as_api_error(error: OperationError) -> ApiError:
    """Return what an operation's error means in HTTP."""
    return ApiError(next((code for kind, code in _CODES if isinstance(error, kind)), 503), str(error))


def _as_json(launched: Launched) -> dict[str, Any]:
    plan = launched.plan
    whose = f"for provider {plan.target}" if plan.target else "for all providers"
    first, last = plan.days[0], plan.days[-1]
    if plan.verb == "repair":
        text = f"{_TITLES[plan.pipeline]} Repair process has begun for [{first}, {last}] {whose}"
    else:
        text = f"Rebuilding {_TITLES[plan.pipeline]} {whose}"
    backfill = {
        "id": launched.backfill_id,
        "link": launched.link,
        "assets": plan.assets,
        "firstDay": str(first),
        "lastDay": str(last),
        "canceled": list(launched.canceled),
    }
    return {"code": 200, "data": text, "backfill": backfill}


def _answer(verb: Verb, pipeline: Pipeline) -> dict[str, Any]:
    text: Schema = {"type": "string"}
    schema: Schema = {
        "type": "object",
        "required": ["code", "data", "backfill"],
        "properties": {
            "code": {"type": "integer"},
            "data": text,
            "backfill": {"type": "object", "required": ["id", "link"], "properties": {"id": text, "link": text}},
        },
    }
    example = {
        "code": 200,
        "data": f"{'Rebuilding ' if verb == 'rebuild' else ''}{_TITLES[pipeline]}"
        f"{'' if verb == 'rebuild' else ' Repair process has begun for [2026-10-01, 2026-10-07]'} for all providers",
        "backfill": {
            "id": "abcdefgh",
            "link": "http://localhost:3000/runs/b/abcdefgh",
            "assets": ["cloud_billing/aws/111122223333"],
            "firstDay": "2026-10-01",
            "lastDay": "2026-10-07",
            "canceled": [],
        },
    }
    return {"description": "It has begun", "content": {"application/json": {"schema": schema, "example": example}}}
