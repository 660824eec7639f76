"""A real Dagster: webserver, daemon and run workers as processes, with the instance that we ship."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import requests
import yaml

from kubecost_pipelines.core.window import DAY
from kubecost_pipelines.demo.aws_bill import write_aws_bill
from kubecost_pipelines.settings import CONFIG_VARIABLE
from kubecost_pipelines_tests.servers import free_port

ROOT = Path(__file__).parents[1]
ACCOUNT = "111122223333"
YESTERDAY = datetime.now(UTC).date() - DAY


@dataclass(frozen=True)
class DagsterServer:
    url: str
    home: Path
    lake: Path
    environment: Mapping[str, str]

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `kubecost-pipelines` as a user would."""
        command = [str(Path(sys.executable).parent / "kubecost-pipelines"), *arguments]
        environment = {**self.environment, "KUBECOST_PIPELINES_DAGSTER_URL": self.url}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        with dg.DagsterInstance.from_config(str(self.home)) as opened:
            yield opened


def write_deployment(folder: Path, days: list[date], *, postgres_port: int | None = None) -> dict[str, str]:
    """Write a bill, settings and an instance, and return the environment that names them."""
    write_aws_bill(folder / "bills" / "cur", days, version=1, restated_day=days[0])
    settings = {
        "lake": (folder / "lake").as_uri(),
        "start_date": str(days[0]),
        "cloud_stores": [{"provider": "aws", "id": ACCOUNT, "export": (folder / "bills" / "cur").as_uri()}],
        "runs_by_itself": False,
    }
    (folder / "kubecost-pipelines.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    home = folder / "dagster_home"
    home.mkdir()
    text = (ROOT / "dagster.yaml").read_text(encoding="utf-8")
    if postgres_port:
        url = f"postgresql+psycopg2://postgres:x@127.0.0.1:{postgres_port}/postgres"
        text += f"storage:\n  postgres:\n    postgres_url: {url}\n"
    (home / "dagster.yaml").write_text(text, encoding="utf-8")
    return {
        **os.environ,
        CONFIG_VARIABLE: str(folder / "kubecost-pipelines.yaml"),
        "DAGSTER_HOME": str(home),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "PYTHONWARNINGS": "ignore",
        "PYTHONPATH": str(ROOT),
    }


@contextmanager
def serve_dagster(
    folder: Path,
    environment: Mapping[str, str],
    *,
    module_name: str = "kubecost_pipelines.definitions",
    seconds_in_queue: int = 5,
    has_daemon: bool = True,
) -> Iterator[DagsterServer]:
    """Serve the deployment that `write_deployment` wrote into `folder`.

    Dagster looks into its queue of runs every `seconds_in_queue`; its own default is five. Without a daemon, what is
    launched stays as it is.
    """
    environment = {**environment, "SECONDS_IN_QUEUE": str(seconds_in_queue)}
    port = free_port()
    module = ["-m", module_name]
    commands = [[sys.executable, "-m", "dagster_webserver", "-p", str(port), *module]]
    if has_daemon:
        commands.append([sys.executable, "-m", "kubecost_pipelines_tests.quick_daemon", "run", *module])
    server = DagsterServer(f"http://127.0.0.1:{port}", folder / "dagster_home", folder / "lake", environment)
    # As `dagster dev` does: two servers that both find no SQLite database yet both make one, and break it.
    with server.instance():
        pass
    with ExitStack() as running:
        for number, command in enumerate(commands):
            running.enter_context(_group(command, environment, folder / f"server-{number}.log"))
        wait_until(lambda: _answers(server.url), 90)
        yield server


@contextmanager
def _group(command: list[str], environment: Mapping[str, str], log: Path) -> Iterator[None]:
    """Run a server in a session of its own, and end all of it: it starts servers in its turn."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, cwd=log.parent, start_new_session=True
        ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/server_info", timeout=2).ok
    except requests.RequestException:
        return False


def wait_until(is_so: Callable[[], Any], seconds: float, every: float = 0.5) -> None:
    """Ask again and again until it is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(every)
