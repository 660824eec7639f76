"""The Kubecost API of one of the company's clusters, on the loopback interface.

Answers `/model/assets`, `/model/allocation` and `/healthz` for windows of whole UTC days, one map a day.
"""

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from kubecost_pipelines.demo.cluster_estimates import (
    ALLOCATION_SUMS,
    ASSET_SUMS,
    Item,
    allocations,
    assets,
    total,
)
from kubecost_pipelines.demo.company import CLUSTERS
from kubecost_pipelines.demo.model import Cluster


@contextmanager
def serve_cluster(name: str, days: Sequence[date], port: int = 0) -> Iterator[str]:
    """Serve the API of one cluster on 127.0.0.1 for as long as the context lasts.

    Args:
        name: a monitored cluster of the company.
        days: the days the cluster remembers; any other is an empty map.
        port: 0 takes a free one.

    Yields:
        The endpoint, `http://127.0.0.1:<port>`.

    Raises:
        ValueError: nobody monitors a cluster of that name.
    """
    monitored = {cluster.name: cluster for cluster in CLUSTERS if cluster.is_monitored}
    if name not in monitored:
        raise ValueError(f"no cluster {name!r} has an API; choose one of {', '.join(monitored)}")
    with _Server(("127.0.0.1", port), monitored[name], frozenset(days)) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,), name=f"demo-{name}", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _BadRequestError(ValueError):
    """A question that the API answers with 400 and this message."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], cluster: Cluster, days: frozenset[date]) -> None:
        super().__init__(address, _Handler)
        self.cluster, self.days = cluster, days

    def answer(self, route: str, query: Mapping[str, str]) -> tuple[HTTPStatus, Item]:
        """Return the status and the body that a GET of `route` gets."""
        if route == "/healthz":
            return _body(HTTPStatus.OK, data=None)
        if route not in ("/model/assets", "/model/allocation"):
            return _body(HTTPStatus.NOT_FOUND, message=f"no route {route}")
        try:
            data = [self._answer_day(route, query, day) for day in _days(query)]
        except _BadRequestError as error:
            return _body(HTTPStatus.BAD_REQUEST, message=str(error))
        return _body(HTTPStatus.OK, data=data)

    def _answer_day(self, route: str, query: Mapping[str, str], day: date) -> dict[str, Item]:
        if day not in self.days:
            return {}
        if route == "/model/assets":
            items = assets(self.cluster, day)
        else:
            items = allocations(self.cluster, day, with_idle=query.get("idle", "true").lower() == "true")
        if query.get("aggregate") == "cluster":
            sums = ASSET_SUMS if route == "/model/assets" else ALLOCATION_SUMS
            items = total(self.cluster, items.values(), sums, day)
        return _page(items, query)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Answer with JSON, gzipped for who accepts it."""
        url = urlsplit(self.path)
        status, body = self.server.answer(url.path, dict(parse_qsl(url.query)))
        raw = json.dumps(body, default=float).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            raw = gzip.compress(raw, mtime=0)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_args: Any) -> None:
        """Keep no access log."""


def _body(status: HTTPStatus, **fields: object) -> tuple[HTTPStatus, Item]:
    return status, {"code": status.value, **fields}


def _days(query: Mapping[str, str]) -> list[date]:
    """Return the days of the query's `window`, and refuse what this API does not serve."""
    if query.get("accumulate", "false").lower() != "false":
        raise _BadRequestError("this API answers day by day: ask with accumulate=false")
    if query.get("aggregate", "") not in ("", "cluster"):
        raise _BadRequestError(f"cannot aggregate by {query['aggregate']!r}: only by cluster, or not at all")
    window = query.get("window", "")
    try:
        start, end = (datetime.fromisoformat(text) for text in window.split(","))
    except ValueError:
        raise _BadRequestError(f"illegal window: {window!r}") from None
    is_whole_days = all(at.tzinfo and at.astimezone(UTC).time() == time() for at in (start, end))
    if not is_whole_days or end < start:
        raise _BadRequestError(f"the window {window!r} is not one of whole UTC days")
    return [start.astimezone(UTC).date() + timedelta(days=day) for day in range((end - start).days)]


def _page(items: dict[str, Item], query: Mapping[str, str]) -> dict[str, Item]:
    try:
        offset, limit = (int(query.get("offset", 0)), int(query.get("limit", len(items))))
    except ValueError:
        raise _BadRequestError("offset and limit are whole numbers") from None
    return dict(sorted(items.items())[offset : offset + limit])
