"""A real S3 protocol to test against: moto's server, one per test process."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any


@dataclass(frozen=True)
class S3Server:
    endpoint: str

    def client(self) -> Any:
        import boto3

        return boto3.client(
            "s3", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
        )

    @contextmanager
    def recorded(self) -> Iterator[list[str]]:
        """Yield a list that has, in the end, the method of every request meanwhile."""
        methods = list[str]()
        for what in ("reset-recording", "start-recording"):
            self._recorder(what, "POST")
        yield methods
        self._recorder("stop-recording", "POST")
        recording = self._recorder("download-recording", "GET")
        methods += [json.loads(line)["method"] for line in recording.splitlines() if line]

    def _recorder(self, what: str, method: str) -> str:
        request = urllib.request.Request(f"{self.endpoint}/moto-api/recorder/{what}", method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())


@contextmanager
def serve_s3(*, with_athena: bool = False) -> Iterator[S3Server]:
    """Serve moto; with Athena, one that runs its queries."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    if with_athena:
        command = [sys.executable, "-m", "kubecost_pipelines_tests.athena_server", str(port)]
    with TemporaryDirectory() as folder:
        own = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "MOTO_RECORDER_FILEPATH": f"{folder}/requests"}
        yield from _run(command, {**os.environ, **own}, port)


def _run(command: list[str], environment: Mapping[str, str], port: int) -> Iterator[S3Server]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as process:
        endpoint = f"http://127.0.0.1:{port}"
        try:
            _wait_for(endpoint)
            yield S3Server(endpoint)
        finally:
            process.terminate()


def _wait_for(endpoint: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"{endpoint}/moto-api/data.json", timeout=2).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
