"""A lake of rows that a test writes, and the real server over it."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow.parquet as pq
import requests
import uvicorn

from kubecost_pipelines.api.app import build_app
from kubecost_pipelines.api.guard import Role
from kubecost_pipelines.core.tables import (
    ALLOCATIONS,
    ASSET_COSTS,
    CLOUD_ASSETS,
    CLOUD_BILLING,
    COST_NAMES,
    RECONCILED_ALLOCATIONS,
    Table,
)
from kubecost_pipelines.dashboard.routes import mount_dashboard
from kubecost_pipelines.lake import Lake, open_engine
from kubecost_pipelines.operations.serving import Serving
from kubecost_pipelines.serving.reader import QUERY_SECONDS
from kubecost_pipelines.settings import Settings
from kubecost_pipelines.settings.locations import locate
from kubecost_pipelines_tests.core.tables import _table as table_of

DAY = date(2026, 10, 5)
WINDOW = "2026-10-05T00:00:00Z,2026-10-06T00:00:00Z"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
Rows = Sequence[Mapping[str, Any]]


def write_days(lake: Path, table: Table, key: Sequence[str], rows: Rows) -> None:
    """Replace the days of the rows in a lake."""
    days = sorted({row["date"] for row in rows})
    with open_engine("300MB", lake.parent) as engine:
        file = lake.parent / f"{uuid4().hex}.parquet"
        pq.write_table(table_of(table, [dict(row) for row in rows]).to_pyarrow(), file)
        store = Lake(locate(lake.as_uri()), lake.parent)
        store.publish(store.stage(table, engine.read_parquet(file), engine), key, days)


def write_allocations(lake: Path, cluster: str, rows: Rows) -> None:
    """Write reconciled allocations; `total_cost` is the sum of their costs."""
    write_days(lake, RECONCILED_ALLOCATIONS, [cluster], [_allocation(cluster, row) for row in rows])


def _allocation(cluster: str, row: Mapping[str, Any]) -> dict[str, Any]:
    day = row.get("date", DAY)
    costs = [value for name, value in row.items() if "_cost" in name and name != "total_cost"]
    plain = {
        "date": day,
        "cluster": cluster,
        "allocation_type": "workload",
        "start": datetime(day.year, day.month, day.day, tzinfo=UTC),
        "end": datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=UTC),
        "minutes": 1440.0,
        "currency": "USD",
        "is_reconciled": True,
        "is_settled": True,
        "total_cost": sum(costs),
        "labels": {},
        "annotations": {},
        "services": [],
    }
    parts = (cluster, row.get("node"), row.get("namespace"), row.get("pod"), row.get("container"))
    return {"name": "/".join(part or "" for part in parts), **plain, **row}


def write_bill(lake: Path, key: Sequence[str], rows: Rows, *, is_claimed: bool = False) -> None:
    """Write a bill of which no cluster claims anything, or with `is_claimed` everything."""
    plain = {
        "date": DAY,
        "billing_currency": "USD",
        "sub_account_id": "111122223333",
        "billing_account_id": "111122223333",
        "category": "Other",
        "is_kubernetes": False,
        "missing_cost_lines": 0,
        "line_items": 1,
    }
    full = [{**plain, **dict.fromkeys(COST_NAMES, row.get("cost", "0")), **row} for row in rows]
    write_days(lake, CLOUD_BILLING, key, full)
    if not is_claimed:
        write_days(lake, CLOUD_ASSETS, key, full)


@dataclass
class Server:
    """The server, asked over HTTP."""

    url: str
    serving: Serving

    def get(self, path: str, headers: Mapping[str, str] | None = None, /, **parameters: Any) -> requests.Response:
        return requests.get(f"{self.url}{path}", params=parameters, headers=dict(headers or {}), timeout=30)

    def data(self, path: str, **parameters: Any) -> Any:
        answer = self.get(path, **parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def allocations(self, **parameters: Any) -> dict[str, dict[str, Any]]:
        """Return the one set of a day's allocations, all in one."""
        [found] = self.data("/model/allocation", **{"window": WINDOW, "accumulate": "true", **parameters})
        return dict(found)

    def costs(self, **parameters: Any) -> dict[str, float]:
        """Return name -> totalCost."""
        return {name: item["totalCost"] for name, item in self.allocations(**parameters).items()}


@contextmanager
def serve(
    lake: Path,
    *,
    tokens: Mapping[Role, str] | None = None,
    is_limited: bool = False,
    has_dashboard: bool = False,
    query_seconds: float = QUERY_SECONDS,
    clock: Callable[[], datetime] = lambda: NOW,
    **settings: Any,
) -> Iterator[Server]:
    """Serve a lake on the loopback for as long as the context lasts, its store built."""
    deployment = Settings.model_validate({"lake": lake.as_uri(), "start_date": DAY, "label_keys": ["team"], **settings})
    serving = Serving(deployment, refresh_seconds=0, query_seconds=query_seconds)
    serving.refresh()
    app = build_app(deployment, serving, tokens=tokens, is_limited=is_limited, clock=clock)
    if has_dashboard:
        mount_dashboard(app)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Server(f"http://127.0.0.1:{port}", serving)
    finally:
        server.should_exit = True
        thread.join()


__all__ = ["ALLOCATIONS", "ASSET_COSTS", "DAY", "NOW", "WINDOW", "Server", "serve", "write_allocations", "write_bill"]
