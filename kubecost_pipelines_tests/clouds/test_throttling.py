"""A store that is told to slow down asks again: the real servers, behind a door that refuses the first requests."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kubecost_pipelines.clouds import check_connection
from kubecost_pipelines.core.connection_status import ConnectionEvent
from kubecost_pipelines.settings import CloudStoreSettings
from kubecost_pipelines_tests.replay import DATA
from kubecost_pipelines_tests.s3 import S3Server
from kubecost_pipelines_tests.servers import ACCOUNT, ACCOUNT_KEY, BlobServer

TODAY = date(2026, 11, 1)
SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)


OUR_OWN = ("transfer-encoding", "connection", "content-length", "date", "server")
"""Headers that the door writes itself."""


@contextmanager
def throttled(target: str, times: int) -> Iterator[tuple[str, list[int]]]:
    """Stand before `target`; the first `times` requests get 503. Gives the address, and the statuses it answered."""
    statuses: list[int] = []

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if len(statuses) < times:
                self._answer(503, {"Content-Type": "application/xml"}, SLOW_DOWN)
                return
            with closing(http.client.HTTPConnection(urlsplit(target).netloc)) as connection:
                connection.request("GET", self.path, headers=dict(self.headers))
                found = connection.getresponse()
                body = found.read()
            headers = {name: value for name, value in found.getheaders() if name.lower() not in OUR_OWN}
            self._answer(found.status, headers, body)

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            statuses.append(status)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", statuses
        server.shutdown()


def test_s3_is_asked_again(s3: S3Server, tmp_path: Path) -> None:
    s3.client().create_bucket(Bucket="acme-throttled")
    s3.client().put_object(Bucket="acme-throttled", Key="export/october.csv", Body=b"cost\n1\n")
    with throttled(s3.endpoint, times=2) as (address, statuses):
        store = {"provider": "gcp", "id": "acme", "export": "s3://acme-throttled/export", "endpoint": address}
        access = {"access_key_id": "k", "secret_access_key": "s", "region": "us-east-1"}

        found = check_connection(CloudStoreSettings.model_validate({**store, **access}), TODAY, tmp_path)

    assert found.event is ConnectionEvent.DATA, found.detail
    assert statuses[:2] == [503, 503]


def test_blob_storage_is_asked_again(blobs: BlobServer, tmp_path: Path) -> None:
    report = next((DATA / "azure/subscription").rglob("*.csv.gz"))
    blobs.container("throttled").upload_blob("cost/20261001-20261031/a.csv.gz", report.read_bytes())
    with throttled(blobs.endpoint, times=2) as (address, statuses):
        uri = f"abfss://throttled@{ACCOUNT}.dfs.core.windows.net/cost"
        store = {
            "provider": "azure",
            "id": "s",
            "export": uri,
            "endpoint": f"{address}/{ACCOUNT}",
            "account_key": ACCOUNT_KEY,
        }

        found = check_connection(CloudStoreSettings.model_validate(store), TODAY, tmp_path)

    assert found.event is ConnectionEvent.DATA, found.detail
    assert statuses[:2] == [503, 503]
