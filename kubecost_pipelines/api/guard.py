"""Guard: who may ask what, how often, and what is written down about it.

On the loopback interface nobody needs a token, but a page of some website must not act through the visitor's browser:
the Host must be the loopback's (no rebinding of names) and an operation must not come from another site. Beyond the
loopback every request but `/healthz` carries a token, as a bearer or as the password of basic authentication, which a
browser asks for by itself. The token is compared in constant time and never written down.
"""

import base64
import binascii
import hashlib
import hmac
import ipaddress
import json
import logging
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kubecost_pipelines.api.errors import ApiError

Role = Literal["read", "operate"]
LOG, AUDIT = logging.getLogger("kubecost_pipelines.access"), logging.getLogger("kubecost_pipelines.audit")

TOKEN_VARIABLES: Mapping[Role, str] = {
    "read": "KUBECOST_PIPELINES_READ_TOKEN",
    "operate": "KUBECOST_PIPELINES_OPERATE_TOKEN",
}
"""Each also with `_FILE` at its end: a file that holds the token."""
MIN_TOKEN_LENGTH = 16
MAX_QUERY_BYTES, MAX_BODY_BYTES = 32_768, 65_536
REQUESTS_PER_MINUTE, OPERATIONS_PER_MINUTE, FAILURES_PER_MINUTE = 1_200, 30, 20
OPEN_PATHS = ("/healthz",)
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class TokenError(ValueError):
    """The tokens cannot be used. The message ends with the cure."""


def read_tokens(environment: Mapping[str, str] = os.environ) -> dict[Role, str]:
    """Return the tokens that the environment, or a file that it names, gives.

    Raises:
        TokenError: one is too short to be a secret, or its file cannot be read.
    """
    found: dict[Role, str] = {}
    for role, variable in TOKEN_VARIABLES.items():
        token = environment.get(variable, "")
        if file := environment.get(f"{variable}_FILE"):
            try:
                token = Path(file).read_text(encoding="utf-8")
            except OSError as error:
                raise TokenError(f"{variable}_FILE: {error}. Let it name a file with the token.") from error
        if not (token := token.strip()):
            continue
        if len(token) < MIN_TOKEN_LENGTH:
            raise TokenError(f"{variable}: shorter than {MIN_TOKEN_LENGTH} characters; try `openssl rand -hex 32`.")
        found[role] = token
    return found


def is_loopback(host: str) -> bool:
    """Say whether an address to listen on, or a Host, is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass
class Rates:
    """So many per minute and caller, by a bucket that fills up steadily."""

    per_minute: float
    remembered: int = 10_000
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, caller: str, now: float, *, takes: float = 1.0) -> float:
        """Take one, and return 0; or return the seconds until there is one."""
        with self._lock:
            left, then = self._buckets.pop(caller, (self.per_minute, now))
            left = min(self.per_minute, left + (now - then) * self.per_minute / 60)
            is_there = left >= max(takes, 1.0)
            self._buckets[caller] = (left - takes if is_there else left, now)
            while len(self._buckets) > self.remembered:
                self._buckets.popitem(last=False)
            return 0.0 if is_there else (1.0 - left) * 60 / self.per_minute


@dataclass(frozen=True)
class Caller:
    """Who asks: by role and address; a token is known by the start of its digest."""

    role: Role | None
    name: str


class Guard:
    """ASGI middleware around the whole application.

    Args:
        app: what answers.
        tokens: role -> token; none leaves everything open to the loopback.
        is_limited: whether requests are counted, as they are beyond the loopback.
    """

    def __init__(
        self,
        app: ASGIApp,
        tokens: Mapping[Role, str],
        *,
        is_limited: bool,
        requests_per_minute: int = REQUESTS_PER_MINUTE,
    ) -> None:
        self._app, self._is_limited = app, is_limited
        self._digests = {role: _digest(token) for role, token in tokens.items()}
        self._requests, self._operations = Rates(requests_per_minute), Rates(OPERATIONS_PER_MINUTE)
        self._failures = Rates(FAILURES_PER_MINUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, began = Headers(scope=scope), time.perf_counter()
        request_id = _request_id(headers.get("x-request-id", ""))
        scope.setdefault("state", {})["request_id"] = request_id
        status = 500

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answered = MutableHeaders(scope=message)
                for name, value in {**HEADERS, "X-Request-Id": request_id}.items():
                    answered.setdefault(name, value)
            await send(message)

        caller = Caller(None, _address(scope))
        try:
            caller = self._admit(scope, headers)
            scope["state"]["caller"] = caller
            await self._app(scope, receive, send_guarded)
        except ApiError as error:
            body = {"code": error.code, "message": error.message}
            await JSONResponse(body, error.code, error.headers)(scope, receive, send_guarded)
        except Exception:
            LOG.exception("request %s failed", request_id)
            message = f"this is a fault of ours: please report it with the log of request {request_id}."
            await JSONResponse({"code": 500, "message": message}, 500)(scope, receive, send_guarded)
        finally:
            line = {
                "request": request_id,
                "caller": caller.name,
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "milliseconds": round((time.perf_counter() - began) * 1000, 1),
            }
            LOG.info("%s", json.dumps(line))

    def _admit(self, scope: Scope, headers: Headers) -> Caller:
        """Return who asks, or refuse."""
        if len(scope.get("query_string", b"")) > MAX_QUERY_BYTES:
            raise ApiError(414, f"the query is longer than {MAX_QUERY_BYTES:,} bytes: shorten the filter.")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES or "transfer-encoding" in headers:
            raise ApiError(413, "no route reads a body: send parameters in the query.")
        address, now = _address(scope), time.monotonic()
        caller = self._identify(scope, headers, address, now)
        if self._is_limited and (seconds := self._requests.wait(caller.name, now)):
            raise _too_many(self._requests, seconds)
        return caller

    def _identify(self, scope: Scope, headers: Headers, address: str, now: float) -> Caller:
        if not self._digests:
            host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
            if not is_loopback(host):
                raise ApiError(403, "this server answers to its loopback name alone: ask http://localhost.")
            return Caller("operate", address)
        if scope["path"] in OPEN_PATHS:
            return Caller(None, address)
        if seconds := self._failures.wait(address, now, takes=0.0):
            raise _too_many(self._failures, seconds)
        digest = _digest(_token(headers.get("authorization", "")))
        known = [role for role, ours in self._digests.items() if hmac.compare_digest(digest, ours)]
        if not known:
            self._failures.wait(address, now)
            raise ApiError(
                401,
                "a token is needed: `Authorization: Bearer <token>`, or the token as password of basic authentication.",
                {"WWW-Authenticate": 'Basic realm="kubecost-pipelines", charset="UTF-8"'},
            )
        role: Role = "operate" if "operate" in known else "read"
        return Caller(role, f"{role}:{digest.hex()[:8]}@{address}")

    def allow_operation(self, caller: Caller, headers: Headers) -> None:
        """Refuse an operation by a reader, from another site, or too often.

        Raises:
            ApiError: 403 or 429.
        """
        if caller.role != "operate":
            raise ApiError(403, f"the token may read; this needs the role `operate` ({TOKEN_VARIABLES['operate']}).")
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise ApiError(403, "an operation cannot be started by a page of another site.")
        ours = headers.get("host", "")
        for name in ("origin", "referer"):
            if (theirs := headers.get(name)) and urlsplit(theirs).netloc != ours:
                raise ApiError(403, "an operation cannot be started by a page of another site.")
        if seconds := self._operations.wait(caller.name, time.monotonic()):
            raise _too_many(self._operations, seconds)


def write_audit(caller: Caller, request_id: str, what: str, parameters: Mapping[str, object], result: str) -> None:
    """Write down an operation: who, what, when (the log's time), result."""
    line = {"request": request_id, "caller": caller.name, "operation": what, "parameters": parameters, "result": result}
    AUDIT.info("%s", json.dumps(line, default=str))


def _too_many(rates: Rates, seconds: float) -> ApiError:
    wait = max(1, round(seconds))
    return ApiError(
        429, f"more than {rates.per_minute:,.0f} a minute: wait {wait} s, and ask again.", {"Retry-After": str(wait)}
    )


def _token(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def _digest(token: str) -> bytes:
    # Of equal length whatever was sent: the comparison tells nothing, not even that.
    return hashlib.sha256(token.encode()).digest()


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "-"


def _request_id(given: str) -> str:
    return given if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", given) else uuid4().hex
