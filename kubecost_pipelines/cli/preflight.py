"""The preflight: every bill and every cluster, asked at once, one line each."""

import json
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from kubecost_pipelines.clouds import check_connection
from kubecost_pipelines.clusters import ClusterClient, ClusterError
from kubecost_pipelines.core.connection_status import CURES, ConnectionStatus, next_status
from kubecost_pipelines.settings import CloudStoreSettings, ClusterSettings, load_settings

AT_ONCE = 32
"""Most of the time goes by waiting for somebody's answer."""

GOOD = ConnectionStatus.SUCCESSFUL_CONNECTION


@dataclass(frozen=True)
class Finding:
    """What one bill or cluster answered: its Cloud Connection Status, and the words for people."""

    kind: str
    name: str
    status: ConnectionStatus
    detail: str
    cure: str

    @property
    def line(self) -> str:
        mark = "ok  " if self.status is GOOD else "FAIL"
        return f"{mark} {self.kind:8} {self.name}  {self.status}  {self.detail} {self.cure}".rstrip()


def run_preflight(*, as_json: bool) -> int:
    """Check everything that the settings name and print it, bills first; return the exit code."""
    settings = load_settings()
    if settings is None:
        status = ConnectionStatus.MISSING_CONFIGURATION
        detail = "there is no kubecost-pipelines.yaml here, and KUBECOST_PIPELINES_CONFIG names none."
        return _print([Finding("settings", "-", status, detail, CURES[status])], as_json=as_json)
    with tempfile.TemporaryDirectory(dir=settings.scratch) as scratch, ThreadPoolExecutor(AT_ONCE) as pool:
        questions: list[Callable[[], Finding]] = [
            *(partial(_check_store, store, Path(scratch)) for store in settings.cloud_stores),
            *(partial(_check_cluster, cluster) for cluster in settings.clusters),
        ]
        findings = list(pool.map(lambda ask: ask(), questions))
    return _print(findings, as_json=as_json)


def _check_store(store: CloudStoreSettings, scratch: Path) -> Finding:
    found = check_connection(store, datetime.now(UTC).date(), scratch)
    status = next_status(ConnectionStatus.INITIAL_STATUS, found.event)
    return Finding("bill", store.title, status, found.detail, CURES[status])


def _check_cluster(cluster: ClusterSettings) -> Finding:
    try:
        # One try: somebody waits, and can ask again.
        flavour = ClusterClient(cluster.model_copy(update={"max_attempts": 1})).check()
    except (ClusterError, OSError) as error:
        return Finding("cluster", cluster.name, ConnectionStatus.FAILED_CONNECTION, str(error), "")
    return Finding("cluster", cluster.name, GOOD, f"{cluster.endpoint} speaks {flavour.name}", "")


def _print(findings: list[Finding], *, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            click.echo(finding.line)
    return 0 if all(finding.status is GOOD for finding in findings) else 1
