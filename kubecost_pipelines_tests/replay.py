"""A Kubecost API that replays recorded days, with faults on demand."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

DATA = Path(__file__).parent / "data" / "nise-2026-10"


class Replay:
    """Recorded days and the faults to answer with: a list of (status, body) that is used up first."""

    def __init__(self, days: dict[str, Any]) -> None:
        self.days = days
        self.faults: list[tuple[int, bytes]] = []
        self.endpoint = ""

    def answer(self, path: str) -> tuple[int, bytes]:
        url = urlsplit(path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        route = url.path.removeprefix("/model/")
        if route not in ("assets", "allocation"):
            return 404, b"404 page not found"
        if self.faults:
            return self.faults.pop(0)
        sets = [self.days.get(day, {}).get(route, {}) for day in _days(query.get("window", ""))]
        if query.get("aggregate") == "cluster":
            sets = [_total(items) for items in sets]
        return 200, json.dumps({"code": 200, "data": sets}).encode()


def _days(window: str) -> list[str]:
    first, end = (date.fromisoformat(time[:10]) for time in window.split(","))
    return [str(first + timedelta(days=number)) for number in range((end - first).days)]


def _total(items: dict[str, Any]) -> dict[str, Any]:
    if not items:
        return {}
    total = sum(item["totalCost"] for item in items.values())
    return {"prod-eks-1": {**next(iter(items.values())), "name": "prod-eks-1", "totalCost": total}}


@contextmanager
def serve_replay(days: dict[str, Any] | None = None) -> Iterator[Replay]:
    """Serve the recorded month, or the given days."""
    if days is None:
        days = json.loads(gzip.decompress((DATA / "prod-eks-1.json.gz").read_bytes()))
    replay = Replay(days)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = replay.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if body.startswith(b"<") else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        replay.endpoint = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield replay
        server.shutdown()
