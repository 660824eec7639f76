"""Action routes: what a repair or rebuild would run, and how far one is. Starting one is the API's."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from kubecost_pipelines.operations.pipelines import Pipeline, Plan, plan_rebuild, plan_repair
from kubecost_pipelines.operations.webserver import Webserver
from kubecost_pipelines.settings import Settings

_PATHS: Mapping[Pipeline, str] = {
    "cloud-assets": "/model/etl/asset/cloud/",
    "reconciliation": "/model/etl/asset/reconciliation/",
    "allocations": "/model/etl/allocation/",
}


def action_routes(settings: Settings, clock: Callable[[], datetime]) -> APIRouter:
    """Return the routes; `clock` gives an aware time."""
    router = APIRouter(include_in_schema=False)

    @router.get("/dashboard/plan")
    def plan(
        operation: Literal["repair", "rebuild"],
        pipeline: Pipeline,
        key: str,
        window: Annotated[str, Query(max_length=100)] = "",
    ) -> dict[str, Any]:
        """Say what an operation would run; nothing runs."""
        graph = Webserver(settings.dagster_url).graph()
        if operation == "rebuild":
            planned = plan_rebuild(graph, pipeline, key)
        else:
            planned = plan_repair(graph, pipeline, window, clock().astimezone(settings.zone), key)
        return {"code": 200, "data": _planned(planned, key, window)}

    @router.get("/dashboard/operations/{backfill_id}")
    def progress(backfill_id: str) -> dict[str, Any]:
        """Say how far a backfill is."""
        webserver = Webserver(settings.dagster_url)
        found = webserver.backfill(backfill_id[:64])
        told = {
            "id": found.id,
            "status": found.status,
            "done": found.written,
            "failed": sum((found.failed or {}).values()),
            "total": found.targeted,
            "is_over": found.has_ended,
            "url": webserver.link(found.id),
        }
        return {"code": 200, "data": told}

    return router


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
        "path": f"{_PATHS[plan.pipeline]}{verb}",
        "parameters": asked,
    }
