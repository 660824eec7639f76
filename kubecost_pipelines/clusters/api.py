"""The HTTP side of a cluster: who we are, what came back, and when to ask again.

Nothing here knows what an answer means. Messages show at most the first 200 characters of an answer, on one
line, and no secret even where a server echoes it.
"""

import base64
import logging
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import chain, count
from pathlib import Path
from tempfile import NamedTemporaryFile, _TemporaryFileWrapper
from typing import TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

import requests
from urllib3.exceptions import ReadTimeoutError

from kubecost_pipelines import __version__
from kubecost_pipelines.aws import AwsError, read_secret
from kubecost_pipelines.clusters.errors import ClusterError, NotThereError, TryAgainError
from kubecost_pipelines.settings import ClusterSettings
from kubecost_pipelines.settings.export import SecretSettings

Result = TypeVar("Result")

CHUNK_BYTES = 1 << 20
HEAD_BYTES = 1 << 12
"""Read first, to quote it: longer than what we quote, so that a secret at its end is whole and recognised."""
EXCERPT_CHARACTERS = 200
LONGEST_PAUSE_SECONDS = 60.0
"""However long a server asks us to wait, or our own back-off has become."""

_BROKEN_OFF = (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError)

_log = logging.getLogger(__name__)

_CURE_BY_STATUS = {
    400: "It refuses the question: check `flavour`, or upgrade the cluster's Kubecost or OpenCost.",
    401: "Check what `token_env`, or `username` and `password_env`, name.",
    403: "Check what `token_env`, or `username` and `password_env`, name, and what that user may read.",
    407: "The proxy wants a login: check HTTPS_PROXY and NO_PROXY.",
    429: "It is asked too often: rebuild fewer days at once, or raise the limit of its ingress.",
    504: "A day takes longer than its gateway waits: raise the timeout of the ingress.",
}
_NOT_THERE_CURE = "Check `endpoint` (without `/model`) and `flavour`."
_PAGE_CURE = (
    "That is a login page or the UI: let `endpoint` name the API itself, and check `token_env`, or `username` and "
    "`password_env`."
)
_SERVER_CURE = "Look at the logs of its cost-model and Prometheus; the earlier partitions stay as they are."
_NETWORK_CURE = "Check that `endpoint` is right and reachable from here, and that the API runs."
_SLOW_CURE = "Raise `read_timeout_seconds`, or give the API more memory and CPU."
_CUT_CURE = "Something between us cuts answers off: look at the time and size limits of its ingress or proxy."


@dataclass(frozen=True)
class Question:
    """What to ask: `topic` is how messages call it."""

    topic: str
    path: str
    params: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """A body with status 200, on its way: `excerpt` is how it begins, fit for a message."""

    chunks: Iterator[bytes] = field(repr=False)
    excerpt: str

    def broken(self, problem: str) -> TryAgainError:
        return TryAgainError(f"{problem}; the answer begins {self.excerpt!r}", _CUT_CURE)


class ClusterApi:
    """Asks one cluster. Reads secrets from the environment when it asks, not before."""

    def __init__(self, cluster: ClusterSettings, pause_seconds: float) -> None:
        self._cluster = cluster
        self._pause_seconds = pause_seconds
        self._authority: _TemporaryFileWrapper[str] | None = None
        self._in_url = urlsplit(cluster.endpoint.rstrip("/"))
        self._endpoint = urlunsplit(self._in_url._replace(netloc=self._in_url.netloc.rpartition("@")[2]))

    def error(
        self, question: Question, problem: str, cure: str, kind: type[ClusterError] = ClusterError
    ) -> ClusterError:
        """Return the error that tells about a question; to be raised."""
        return kind(f"{self._cluster.name}: {question.topic}: asked {self._endpoint}{question.path}: {problem}. {cure}")

    def attempt(self, question: Question, run: Callable[[], Result]) -> Result:
        """Run until it succeeds or has failed `max_attempts` times; each pause is twice the last one, give or take.

        Raises:
            ClusterError: the last attempt failed too, or one failed in a way that no other can mend.
        """
        for number in count(1):
            try:
                return run()
            except TryAgainError as failure:
                if number >= self._cluster.max_attempts:
                    tries = f"{number} attempt{'s' if number > 1 else ''}"
                    raise self.error(question, f"{failure.problem} (after {tries})", failure.cure) from failure
                _log.warning("%s: %s: attempt %d: %s", self._cluster.name, question.topic, number, failure.problem)
                jitter = random.uniform(0.5, 1.5)  # noqa: S311 - spreads callers, protects nothing
                pause = max(self._pause_seconds * 2 ** (number - 1) * jitter, failure.after_seconds)
                time.sleep(min(pause, LONGEST_PAUSE_SECONDS))
        raise AssertionError("unreachable")

    @contextmanager
    def open(self, question: Question) -> Iterator[Answer]:
        """Ask once, and give the answer while it streams; what breaks meanwhile is reported likewise.

        Raises:
            TryAgainError: no answer, a broken one, or one that says that the server is in trouble.
            NotThereError: a 404 or a page for people.
            ClusterError: the server refuses, or we cannot ask.
        """
        identity = self._identity(question)
        excerpt = ""
        try:
            # A session per question: a connection kept over a pause is one that the server has closed.
            with (
                requests.Session() as session,
                session.get(
                    self._endpoint + question.path,
                    params=dict(question.params),
                    headers={
                        "Accept": "application/json",
                        "Accept-Encoding": "gzip",
                        "User-Agent": f"kubecost-pipelines/{__version__}",
                    },
                    auth=identity,
                    verify=self._certificates(question),
                    timeout=(self._cluster.connect_timeout_seconds, self._cluster.read_timeout_seconds),
                    stream=True,
                ) as response,
            ):
                answer = self._accept(question, response, identity)
                excerpt = answer.excerpt
                yield answer
        except requests.exceptions.SSLError as error:
            cure = "Let `ca_file` name the PEM file of the authority that signed its certificate."
            raise self.error(question, identity.clean(_describe(_root_cause(error))), cure) from error
        except (requests.ConnectionError, requests.Timeout, *_BROKEN_OFF) as error:
            cause = _root_cause(error)
            problem, cure = "no answer", _NETWORK_CURE
            if excerpt or isinstance(error, _BROKEN_OFF):
                problem, cure = "the answer broke off", _CUT_CURE
            if isinstance(cause, ReadTimeoutError):
                cure = _SLOW_CURE
            begins = f"; the answer begins {excerpt!r}" if excerpt else ""
            raise TryAgainError(f"{problem}: {identity.clean(_describe(cause))}{begins}", cure) from error
        except requests.RequestException as error:
            raise self.error(question, identity.clean(_describe(_root_cause(error))), _NOT_THERE_CURE) from error

    def _accept(self, question: Question, response: requests.Response, identity: "_Identity") -> Answer:
        status = response.status_code
        if status != 200:
            said = identity.clean(_read_head(response))
            problem = f"status {status}" + (f", {said!r}" if said else "")
            if is_transient(status):
                after_seconds = _retry_after(response.headers.get("Retry-After", ""))
                raise TryAgainError(problem, cure_of(status), after_seconds)
            raise self.error(
                question, problem, cure_of(status), NotThereError if status in (404, 405) else ClusterError
            )
        head = next(response.iter_content(HEAD_BYTES), b"")
        excerpt = identity.clean(_text(head))
        if "html" in response.headers.get("Content-Type", "").lower() or excerpt.startswith("<"):
            raise self.error(question, f"status 200 and a page, {excerpt!r}", _PAGE_CURE, NotThereError)
        return Answer(chain([head], response.iter_content(CHUNK_BYTES) if head else ()), excerpt)

    def _certificates(self, question: Question) -> str | bool:
        if self._cluster.ca_secret:
            return self._certificates_of_secret(question, self._cluster.ca_secret)
        path = self._cluster.ca_file
        if path and not Path(path).is_file():
            raise self.error(question, f"the file {path} is not there", "Correct `ca_file`.")
        return path or True

    def _certificates_of_secret(self, question: Question, secret: SecretSettings) -> str:
        """Return a file with what the secret holds, read once. Nothing of it reaches the environment or boto3."""
        if self._authority is None:
            try:
                pem = read_secret(secret, secret.id)
            except AwsError as error:
                raise self.error(question, f"no `ca_secret`: {error}", "Or let `ca_file` name the file.") from error
            if "BEGIN CERTIFICATE" not in pem:
                raise self.error(question, f"the secret {secret.id} holds no PEM certificate", "Correct `ca_secret`.")
            self._authority = NamedTemporaryFile("w", suffix=".pem")  # noqa: SIM115 - lives as long as the client
            self._authority.write(pem)
            self._authority.flush()
        return self._authority.name

    def _identity(self, question: Question) -> "_Identity":
        if self._cluster.token_env:
            token = self._secret(question, self._cluster.token_env)
            return _Identity(f"Bearer {token}", token)
        username, password = self._cluster.username, ""
        if self._cluster.password_env:
            password = self._secret(question, self._cluster.password_env)
        elif not username:
            username, password = unquote(self._in_url.username or ""), unquote(self._in_url.password or "")
        if not username:
            return _Identity("")
        encoded = base64.b64encode(f"{username}:{password}".encode()).decode()
        return _Identity(f"Basic {encoded}", encoded, password)

    def _secret(self, question: Question, variable: str) -> str:
        value = os.environ.get(variable, "").strip()
        if not value:
            raise self.error(
                question, f"the environment variable {variable} is not set", "Set it where this process runs."
            )
        if not (value.isascii() and value.isprintable()):
            raise self.error(
                question,
                f"the environment variable {variable} holds characters that no HTTP header can carry",
                "Set it to the bare secret, on one line.",
            )
        return value


class _Identity(requests.auth.AuthBase):
    """Sets the Authorization header, and keeps what it is made of out of every message."""

    def __init__(self, header: str, *secrets: str) -> None:
        self._header = header
        self._secrets = [secret for secret in secrets if secret]

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._header:
            request.headers["Authorization"] = self._header
        return request

    def clean(self, text: str) -> str:
        """Return the beginning of `text` on one line, secrets blotted out."""
        for secret in self._secrets:
            text = text.replace(secret, "REDACTED")
        return " ".join(text.split())[:EXCERPT_CHARACTERS]


def is_transient(status: object) -> bool:
    """Return whether a server that answers so may answer otherwise in a while."""
    return isinstance(status, int) and (status == 429 or status >= 500)


def cure_of(status: object) -> str:
    """Return what to do about a status."""
    fallback = _SERVER_CURE if is_transient(status) else _NOT_THERE_CURE
    return _CURE_BY_STATUS.get(status, fallback) if isinstance(status, int) else fallback


def _read_head(response: requests.Response) -> str:
    """Return how the body of a refusal begins, or nothing when that breaks off too."""
    try:
        return _text(next(response.iter_content(HEAD_BYTES), b""))
    except requests.RequestException:
        return ""


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def _root_cause(error: BaseException) -> BaseException:
    """Return what went wrong at the bottom: requests and urllib3 wrap it up to four times."""
    while True:
        inner = getattr(error, "reason", None) or (error.args[-1] if error.args else None)
        if not isinstance(inner, BaseException):
            return error
        error = inner


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _retry_after(header: str) -> float:
    """Return the seconds that a server asks for, by number or by date."""
    try:
        if header.isdecimal():
            return float(header)
        return (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return 0.0
