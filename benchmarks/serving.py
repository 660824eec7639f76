"""Serving: what the HTTP API takes for a year of 20,000 allocations a day. `python -m benchmarks.serving`

The first run writes the lake and builds its store, which takes minutes. Every question is asked of a running server, by
8 clients at once: `asked again` are the same five for both windows over and over, as a dashboard does, and come from
memory; `distinct` have a filter or a window that nobody has asked before, and do not. With 8 clients on 2 cores, 50 ms
leave 12.5 ms of CPU to a question and to who asks it; the server's CPU tells more than the clock of a busy
machine.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import requests
from rich.console import Console
from rich.table import Table

from benchmarks.loading import Loading, measure_loading
from benchmarks.serving_data import CLUSTERS, FIRST, LABEL_KEYS, LAST, write_lake
from kubecost_pipelines.core.window import DAY
from kubecost_pipelines.serving.store import refresh
from kubecost_pipelines.settings.locations import locate

CLIENTS, PORT, ROUNDS = 8, 9399, 100
Parameters = dict[str, str]


def questions(days: int, shift: int = 0) -> dict[str, Parameters]:
    """Return the five questions over the last `days`, ending `shift` days earlier."""
    end = LAST + DAY - shift * DAY
    window = {"window": f"{max(FIRST, end - days * DAY)}T00:00:00Z,{end}T00:00:00Z"}
    return {
        "by namespace": {**window, "aggregate": "namespace", "accumulate": "true"},
        "by cluster and day": {**window, "aggregate": "cluster"},
        "by label": {**window, "aggregate": "label:team", "accumulate": "true"},
        "one namespace": {
            **window,
            "aggregate": "namespace",
            "accumulate": "true",
            "filter": f'namespace:"namespace-{shift % 50}"',
        },
        "by cluster, idle shared": {**window, "aggregate": "cluster", "accumulate": "true", "shareIdle": "true"},
    }


@contextmanager
def serve(lake: Path) -> Iterator[tuple[str, psutil.Process, float]]:
    """Run `kubecost-pipelines serve`; yield its address, its process and the seconds until it was ready."""
    config = lake.parent / "kubecost-pipelines.yaml"
    content = {"lake": lake.as_uri(), "start_date": str(FIRST), "label_keys": list(LABEL_KEYS)}
    config.write_text(json.dumps(content), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("kubecost-pipelines")), "serve", "--port", str(PORT)]
    environment = {**os.environ, "KUBECOST_PIPELINES_CONFIG": str(config)}
    began = time.perf_counter()
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://127.0.0.1:{PORT}", psutil.Process(process.pid), _wait(began)
        finally:
            process.terminate()


def _wait(began: float) -> float:
    while True:
        try:
            if requests.get(f"http://127.0.0.1:{PORT}/healthz", timeout=5).ok:
                return time.perf_counter() - began
        except requests.ConnectionError:
            time.sleep(0.02)


def measure(url: str, asked: list[Parameters], clients: int) -> list[float]:
    """Ask everything, so many at a time; return the milliseconds of each, sorted."""
    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=clients))

        def ask(parameters: Mapping[str, str]) -> float:
            began = time.perf_counter()
            answer = session.get(f"{url}/model/allocation", params=parameters, timeout=120)
            assert answer.status_code == 200, answer.text[:300]
            return (time.perf_counter() - began) * 1000

        with ThreadPoolExecutor(clients) as pool:
            return sorted(pool.map(ask, asked))


def main() -> None:
    """Measure and print; exit 1 when a goal is missed."""
    lake = Path(".bench/serving/lake").absolute()
    lake.mkdir(parents=True, exist_ok=True)
    write_lake(lake)
    refresh(locate(lake.as_uri()), lake / "_serving", LABEL_KEYS)
    grid = Table("questions", "days", "clients", "p50 ms", "p99 ms", "CPU ms each", "goal", "met")
    missed = 0
    with serve(lake) as (url, process, start):

        def ask(name: str, days: int, clients: int, asked: list[Parameters]) -> bool:
            before = sum(process.cpu_times()[:2])
            times = measure(url, asked, clients)
            cpu = (sum(process.cpu_times()[:2]) - before) * 1000 / len(asked)
            return _add(grid, name, days, clients, times, cpu)

        for days in (30, 365):
            again = list(questions(days).values())
            measure(url, again, 1)
            missed += ask(f"asked again, {len(again)} × {ROUNDS}", days, CLIENTS, again * ROUNDS)
            for name in questions(days):
                for turn, clients in enumerate((1, CLIENTS)):
                    distinct = [questions(days, 1 + turn * 24 + shift)[name] for shift in range(24)]
                    missed += ask(f"distinct, {name}", days, clients, distinct)
        memory = process.memory_info().rss / 1e6
        loading = measure_loading(url, visits=5)
    console = Console(width=110)
    console.print(grid)
    console.print(f"{CLUSTERS} clusters. Ready after {start:.1f} s (goal ≤ 2); {memory:.0f} MB (goal ≤ 600).")
    console.print(_told(loading))
    is_slow = loading is not None and (loading.first_chart > 1000 or loading.size > 400_000)
    sys.exit(1 if missed or start > 2 or memory > 600 or is_slow else 0)


def _told(loading: Loading | None) -> str:
    if loading is None:
        return "The dashboard was not loaded: Chromium is not installed (make components)."
    return (
        f"The dashboard: {loading.size / 1000:.0f} kB (goal ≤ 400), interactive after {loading.interactive:.0f} ms, "
        f"its first chart drawn after {loading.first_chart:.0f} ms (goal ≤ 1,000)."
    )


def _add(grid: Table, name: str, days: int, clients: int, times: list[float], cpu: float) -> bool:
    p50, p99 = times[len(times) // 2], times[min(len(times) - 1, int(len(times) * 0.99))]
    is_met = p50 <= 50 and p99 <= 200
    grid.add_row(
        name, str(days), str(clients), f"{p50:.0f}", f"{p99:.0f}", f"{cpu:.1f}", "50 / 200", "yes" if is_met else "NO"
    )
    return not is_met


if __name__ == "__main__":
    main()
