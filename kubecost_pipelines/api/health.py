"""Health and metrics: whether the server can answer, and what Prometheus should know of the lake and of requests."""

import time
from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kubecost_pipelines.api.describing import Schema, errors
from kubecost_pipelines.operations.serving import Serving
from kubecost_pipelines.serving.reader import QueryTooLongError, StoreNotReadyError

_LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 30)
_GAUGES = {
    "kubecost_pipelines_newest_day_timestamp_seconds": (
        "End of the newest day of a table's key.",
        ("table", "key"),
        "SELECT stored_in, key, epoch(max(day) + INTERVAL 1 DAY) FROM lake_files GROUP BY ALL",
    ),
    "kubecost_pipelines_days": (
        "Days of a table's key that are there.",
        ("table", "key"),
        "SELECT stored_in, key, count(DISTINCT day) FROM lake_files GROUP BY ALL",
    ),
    "kubecost_pipelines_match_coverage_ratio": (
        "Share of a cluster's estimate, over its last 30 settled days, that found its bill row.",
        ("cluster",),
        "SELECT coalesce(cluster, ''), sum(cost) FILTER (match_rule IS NOT NULL) / sum(cost) FROM assets "
        "WHERE is_settled AND date > (SELECT max(date) FROM assets) - 30 GROUP BY 1 HAVING sum(cost) > 0",
    ),
    "kubecost_pipelines_conservation_difference": (
        "Σ bill − Σ claimed − Σ out of cluster, effective cost of the whole lake, in currency, rounded to 6 places; "
        "not 0 is a fault.",
        ("key",),
        # The store's costs are DOUBLEs, whose sum leaves a rest. + 0 makes 0 of -0.
        "SELECT key, round(fsum(cost), 6) + 0 "
        "FROM (SELECT lake_key AS key, amortized_net_cost AS cost FROM cloud_costs "
        "UNION ALL SELECT lake_key, -amortized_net_cost FROM out_of_cluster "
        "UNION ALL SELECT provider_key, -CAST(effective_cost AS DOUBLE) FROM assets WHERE provider_key IS NOT NULL) "
        "GROUP BY ALL",
    ),
    "kubecost_pipelines_connection_is_successful": (
        "1 where the last check of a bill found it reachable and with data.",
        ("key", "status"),
        "SELECT provider_key, status, CAST(status = 'SUCCESSFUL_CONNECTION' AS INTEGER) FROM connection_status "
        "QUALIFY row_number() OVER (PARTITION BY provider_key ORDER BY checked_at DESC) = 1",
    ),
}


class _LakeCollector(Collector):
    """Asks the store when Prometheus scrapes."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def collect(self) -> Iterable[GaugeMetricFamily]:
        try:
            self._serving.reader.version  # noqa: B018 - fails where there is none
        except StoreNotReadyError:
            return
        for name, (text, labels, sql) in _GAUGES.items():
            family = GaugeMetricFamily(name, text, labels=labels)
            try:
                rows = self._serving.reader.query(sql)
            except QueryTooLongError:
                continue
            for row in rows:
                *values, number = row.values()
                if number is not None:
                    family.add_metric([str(value) for value in values], float(number))
            yield family


class Metrics:
    """What is counted, and the middleware that counts requests."""

    def __init__(self, serving: Serving) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_LakeCollector(serving))
        self._seconds = Histogram(
            "kubecost_pipelines_request_seconds",
            "Time to answer.",
            ("route",),
            buckets=_LATENCIES,
            registry=self.registry,
        )
        self._answers = Counter(
            "kubecost_pipelines_requests", "Requests by route and status.", ("route", "status"), registry=self.registry
        )

    def counted(self, app: ASGIApp) -> ASGIApp:
        """Return `app`, counted."""

        async def count(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            began, status = time.perf_counter(), 500

            async def send_noted(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            try:
                await app(scope, receive, send_noted)
            finally:
                # Of a path that nobody serves nothing is remembered: it could be anything.
                route = getattr(scope.get("route"), "path", "none")
                self._seconds.labels(route).observe(time.perf_counter() - began)
                self._answers.labels(route, str(status)).inc()

        return count


def health_routes(serving: Serving, metrics: Metrics) -> APIRouter:
    """Return `/healthz` and `/metrics`."""
    router = APIRouter(tags=["health"])

    @router.get(
        "/healthz", responses={200: _example("ok", version="store-20261006T000000-0a1b2c3d.duckdb"), **errors(503)}
    )
    def healthz() -> Response:
        """200 when questions can be answered."""
        try:
            version = serving.reader.version
            serving.reader.query("SELECT 1 AS one")
        except StoreNotReadyError as error:
            return JSONResponse({"code": 503, "message": str(error)}, 503, {"Retry-After": "5"})
        stale = {"warning": f"the lake was not read lately: {serving.last_error}"} if serving.last_error else {}
        return JSONResponse({"code": 200, "data": "ok", "version": version, **stale})

    @router.get(
        "/metrics",
        response_class=Response,
        responses={
            200: {
                "description": "Prometheus's text format",
                "content": {"text/plain": {"schema": {"type": "string"}, "example": "kubecost_pipelines_days 14.0"}},
            },
            **errors(401, 403, 429),
        },
    )
    def read_metrics(_request: Request) -> Response:
        """Freshness, coverage, connection and conservation of the lake; latency and errors of this server."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router


def _example(data: Any, **more: str) -> dict[str, Any]:
    schema: Schema = {"type": "object", "required": ["code"], "properties": {"code": {"type": "integer"}}}
    example = {"code": 200, "data": data, **more}
    return {"description": "Ready", "content": {"application/json": {"schema": schema, "example": example}}}
