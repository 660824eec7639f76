"""A Kubecost API that replays recorded days, with faults on demand."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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
        items = self.days.get(query.get("window", "")[:10], {}).get(route, {})
        if query.get("aggregate") == "cluster" and items:
            first = next(iter(items.values()))
            total = sum(item["totalCost"] for item in items.values())
            items = {"prod-eks-1": {**first, "name": "prod-eks-1", "totalCost": total}}
        return 200, json.dumps({"code": 200, "data": [items]}).encode()


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
