"""Answers: bytes of a question, made once per version of the store."""

import gzip
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from kubecost_pipelines.api.errors import ApiError

MAX_ANSWER_BYTES = 256 << 20
CACHED_BYTES = 64 << 20
COMPRESSED_FROM = 2_000
_encode = msgspec.json.Encoder().encode


@dataclass
class _Body:
    plain: bytes
    zipped: bytes | None = None


class Answers:
    """Remembers answers, the latest asked for, up to `CACHED_BYTES`. Another version of the store is another answer."""

    def __init__(self, limit: int = CACHED_BYTES) -> None:
        self._limit, self._size = limit, 0
        self._bodies: OrderedDict[Hashable, _Body] = OrderedDict()
        self._lock = threading.Lock()
        self.hits = 0

    def answer(self, request: Request, key: Hashable, make: Callable[[], bytes], media_type: str) -> Response:
        """Return the body under `key`, made by `make` when it is not known."""
        with self._lock:
            body = self._bodies.get(key)
            if body:
                self.hits += 1
                self._bodies.move_to_end(key)
        if not body:
            body = _Body(make())
            if len(body.plain) > MAX_ANSWER_BYTES:
                raise ApiError(
                    400,
                    f"the answer has {len(body.plain) >> 20} MB, at most {MAX_ANSWER_BYTES >> 20} are sent: aggregate, "
                    "filter, use limit, or ask for a shorter window.",
                )
            self._keep(key, body)
        headers = {"Vary": "Accept-Encoding", "Cache-Control": "no-store"}
        if "gzip" in request.headers.get("accept-encoding", "") and len(body.plain) >= COMPRESSED_FROM:
            if body.zipped is None:
                body.zipped = gzip.compress(body.plain, 1, mtime=0)
            return Response(body.zipped, media_type=media_type, headers={**headers, "Content-Encoding": "gzip"})
        return Response(body.plain, media_type=media_type, headers=headers)

    def _keep(self, key: Hashable, body: _Body) -> None:
        if len(body.plain) > self._limit // 4:
            return
        with self._lock:
            if key not in self._bodies:
                self._bodies[key] = body
                self._size += len(body.plain)
            while self._size > self._limit:
                _, old = self._bodies.popitem(last=False)
                self._size -= len(old.plain)


def envelope(data: Any, warning: str = "") -> bytes:
    """Return `{"code": 200, "data": …}`, which clients of both APIs read."""
    return _encode({"code": 200, "status": "success", "data": data, **({"warning": warning} if warning else {})})
