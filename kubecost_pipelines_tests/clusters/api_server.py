"""A cost API that says what a test tells it to, on the loopback interface: real HTTP, faults and all."""

import gzip
import json
import socket
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

DAY = date(2026, 10, 1)
START, END = "2026-10-01T00:00:00Z", "2026-10-02T00:00:00Z"

Item = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """One answer; `cut` sends only so many bytes of the body that it promises, `drop` not even a status."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    drop: bool = False
    echoes_headers: bool = False
    delay_seconds: float = 0.0


def data(content: Any, **fields: Any) -> Reply:
    """An answer of the API, with `content` as its data."""
    return Reply(json.dumps({"code": 200, "data": content, **fields}).encode())


def page(status: int = 200) -> Reply:
    return Reply(b"<html><title>Please sign in</title></html>", status, {"Content-Type": "text/html; charset=utf-8"})


NOT_FOUND = Reply(b"404 page not found", 404, {"Content-Type": "text/plain"})
IN_TROUBLE = Reply(b'{"code":500,"message":"context deadline exceeded"}', 500)


class ApiServer(ThreadingHTTPServer):
    """Answers each route with its replies in turn, the last one for ever; everything else is a 404."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies: dict[str, list[Reply]] = {}
        self.asked: dict[str, list[dict[str, str]]] = defaultdict(list)
        self.headers: list[Mapping[str, str]] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def on(self, route: str, *replies: Reply) -> None:
        """Let `route` give these replies; `route?total` are its answers to `aggregate=cluster`."""
        self.replies[route] = list(replies)

    def answer(self, route: str, query: Mapping[str, str]) -> Reply:
        """Return what to answer now."""
        replies = self.replies.get(route, [NOT_FOUND])
        return replies.pop(0) if len(replies) > 1 else replies[0]


Server = TypeVar("Server", bound=ApiServer)


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        route = f"{url.path}?total" if query.get("aggregate") == "cluster" else url.path
        self.server.asked[route].append(query)
        self.server.headers.append(dict(self.headers.items()))
        self._send(self.server.answer(route, query))

    def _send(self, reply: Reply) -> None:
        if reply.drop:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        time.sleep(reply.delay_seconds)
        body = str(self.headers).encode() if reply.echoes_headers else reply.body
        self.send_response(reply.status)
        headers = {"Content-Type": "application/json", **reply.headers}
        if headers.get("Content-Encoding") == "gzip":
            body = gzip.compress(body)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(body[: reply.cut])

    def log_message(self, *_args: Any) -> None:
        """Keep no access log."""


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Serve with a server of one's own."""
    with server:
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def serve() -> AbstractContextManager[ApiServer]:
    return serving(ApiServer())


def allocation(name: str = "prod/n1/shop/web-1/web", **fields: Any) -> Item:
    """A container that costs 1 for CPU, with an adjustment of its own."""
    cluster, node, namespace, pod, container = name.split("/")
    return {
        "name": name,
        "properties": {
            "cluster": cluster,
            "node": node,
            "namespace": namespace,
            "pod": pod,
            "container": container,
            "controller": "web",
            "controllerKind": "deployment",
            "services": ["web"],
            "providerID": "aws:///us-east-1a/i-0abc",
            "labels": {"app": "web", "team": "shop"},
            "namespaceLabels": {"team": "platform", "env": "prod"},
            "annotations": {"owner": "ann"},
        },
        "window": {"start": START, "end": END},
        "start": START,
        "end": "2026-10-01T12:30:00Z",
        "minutes": 750.0,
        "cpuCoreHours": 12.5,
        "cpuCost": 1.0,
        "cpuCostAdjustment": -0.25,
        "cpuCostIdle": 9.0,
        "cpuEfficiency": 0.5,
        "pvs": None,
        "lbAllocations": None,
        "totalCost": 0.75,
        **fields,
    }


def asset(asset_type: str, category: str, cost: float, **fields: Any) -> Item:
    """An asset of any type; `properties` adds to those that every asset has."""
    properties = {"category": category, "provider": "AWS", "account": "111122223333", "cluster": "prod"}
    properties |= fields.pop("properties", {})
    times = {"window": {"start": START, "end": END}, "start": START, "end": END, "minutes": 1440.0}
    return {"type": asset_type, "properties": properties, "labels": {}, **times, "totalCost": cost, **fields}
