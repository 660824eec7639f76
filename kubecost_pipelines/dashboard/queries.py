"""Queries: what the panel "Query" of a view shows, for DuckDB and for Athena."""

from collections.abc import Mapping
from typing import Any

from kubecost_pipelines.api.errors import ApiError
from kubecost_pipelines.api.parameters import read_window
from kubecost_pipelines.core.window import Window
from kubecost_pipelines.operations import questions
from kubecost_pipelines.settings import Settings

WORKLOAD_COLUMNS = ("cluster", "namespace", "controller", "pod", "node", "container")


def cost_column(settings: Settings) -> str:
    """Return the column of bills that the deployment goes by."""
    return f"{settings.cost_metric}_cost"


def shown_query(view: str, given: Mapping[str, str], window: Window, settings: Settings) -> dict[str, Any]:
    """Return the title of a view's question, and its SQL in both dialects.

    Raises:
        ApiError: 400 for a view or a parameter that the dashboard has not.
    """
    duckdb, athena = (_question(view, given, window, settings, dialect) for dialect in ("duckdb", "athena"))
    lake = settings.lake.removeprefix("file://")
    return {"title": duckdb.title, "duckdb": duckdb.for_duckdb(lake), "athena": athena.for_athena()}


def _question(  # noqa: PLR0911 - one per view
    view: str, given: Mapping[str, str], window: Window, settings: Settings, dialect: questions.Dialect
) -> questions.Question:
    kind, group = given.get("kind", "total"), given.get("group", "")
    label_groups = [f"label:{key}" for key in settings.label_keys]
    try:
        match view:
            case "spend":
                return questions.spend(given.get("by", "cluster"), window, cost_column(settings))
            case "months":
                return questions.months(window, read_window(given["before"], window.end), cost_column(settings))
            case "conservation":
                return questions.conservation(window, cost_column(settings))
            case "workloads" if group in (*WORKLOAD_COLUMNS, *label_groups):
                filters = {name: given[name] for name in (*WORKLOAD_COLUMNS, "label", "idle") if name in given}
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
