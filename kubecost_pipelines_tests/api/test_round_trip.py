"""What Kubecost answered in its own documents, through our client into the lake, and out of our API again."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow.parquet as pq
import pytest

from kubecost_pipelines.clusters import ClusterClient
from kubecost_pipelines.core.tables import ALLOCATIONS, ASSET_COSTS
from kubecost_pipelines.settings import ClusterSettings
from kubecost_pipelines_tests.api.served import NOW, serve, write_allocations, write_bill, write_days

# Kubecost's documentation: kubecost/docs, apis/monitoring-apis/api-allocation.md and assets-api.md.
DOCUMENTED = Path(__file__).parent.parent / "data" / "kubecost-documented"
DAY = date(2023, 1, 27)
ROUNDING = 1e-5
"""The documents print six decimals, and figures that were computed from unrounded ones."""


@contextmanager
def answering(body: Any) -> Iterator[str]:
    """Answer every question with one body."""
    content = json.dumps(body).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def client_of(endpoint: str, name: str) -> ClusterClient:
    settings = {"name": name, "endpoint": endpoint, "flavour": "kubecost", "verify_totals": False, "max_attempts": 1}
    return ClusterClient(ClusterSettings.model_validate(settings))


def rows_of(file: Path, day: date) -> list[dict[str, Any]]:
    maps = ("labels", "annotations")
    rows = pq.read_table(file).to_pylist()
    return [{"date": day, **{n: dict(v or []) if n in maps else v for n, v in row.items()}} for row in rows]


def read(name: str) -> Any:
    return json.loads((DOCUMENTED / name).read_text(encoding="utf-8"))


def test_the_documented_allocation_comes_back_as_it_was(tmp_path: Path) -> None:
    recorded = read("allocation.json")
    [(name, original)] = recorded["data"][0].items()
    with answering(recorded) as endpoint:
        client_of(endpoint, "aws-dev-1-niko").fetch_allocations(DAY, tmp_path / "day.parquet")
    lake = tmp_path / "lake"
    lake.mkdir()
    write_days(lake, ALLOCATIONS, ["aws-dev-1-niko"], rows_of(tmp_path / "day.parquet", DAY))

    with serve(lake) as server:
        [found] = server.data("/model/allocation", window="2023-01-27T00:00:00Z,2023-01-28T00:00:00Z")

    answered = found[name]
    # Our sets are days, theirs was an hour; a volume's adjustment is ours.
    del original["window"]
    volumes, ours = original.pop("pvs"), answered.pop("pvs")
    # The documented one comes of costs with more digits than the three that are printed.
    assert answered["totalEfficiency"] == pytest.approx(original.pop("totalEfficiency"), rel=1e-3)
    for key, value in original.items():
        assert _same(answered[key], value), (key, answered[key], value)
    for key, volume in volumes.items():
        assert all(_same(ours[key][field], value) for field, value in volume.items())


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, float) and isinstance(ours, float):
        return ours == pytest.approx(theirs, rel=ROUNDING, abs=ROUNDING)
    return bool(ours == theirs)


def test_our_own_client_reads_our_own_api(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    rows = [
        {"node": "n1", "namespace": "web", "pod": "w", "container": "c", "cpu_cost": 3.0, "labels": {"team": "shop"}},
        {"node": "n1", "namespace": "api", "pod": "a", "container": "c", "ram_cost": 2.0, "ram_byte_hours": 24e9},
        {"allocation_type": "idle", "node": "n1", "namespace": "__idle__", "cpu_cost": 1.5},
    ]
    write_allocations(lake, "one", rows)
    assets = [_asset("Node", "n1", cost=6.5, cpu_cost=5.0, ram_cost=1.5), _asset("Disk", "d1", cost=0.5)]
    write_days(lake, ASSET_COSTS, [], assets)
    with serve(lake) as server:
        for flavour in ("kubecost", "opencost"):
            settings = {"name": "one", "endpoint": server.url, "flavour": flavour, "max_attempts": 1}
            client = ClusterClient(ClusterSettings.model_validate(settings))

            workloads = client.fetch_allocations(date(2026, 10, 5), tmp_path / "allocations.parquet")
            machines = client.fetch_assets(date(2026, 10, 5), tmp_path / "assets.parquet")

            assert (workloads.rows, machines.rows) == (3, 2)
            assert [workloads.total_cost, machines.total_cost] == pytest.approx([6.5, 7.0])
            names = pq.read_table(tmp_path / "allocations.parquet")["name"].to_pylist()
            assert sorted(map(str, names)) == ["one/n1/__idle__", "one/n1/api/a/c", "one/n1/web/w/c"]


def _asset(kind: str, name: str, **costs: float) -> dict[str, Any]:
    start = NOW.replace(month=10, day=5, hour=0)
    return {
        "date": date(2026, 10, 5),
        "cluster": "one",
        "asset_id": f"one/{kind}/{name}",
        "asset_type": kind,
        "category": "Compute" if kind == "Node" else "Storage",
        "name": name,
        "provider_id": name,
        "provider": "aws",
        "account": "111122223333",
        "labels": {},
        "currency": "USD",
        "adjustment": 0.0,
        "start": start,
        "end": start.replace(day=6),
        "minutes": 1440.0,
        "is_reconciled": True,
        "is_settled": True,
        "discount": 0.0,
        "gpu_cost": 0.0,
        "is_spot": False,
        "byte_hours": 0.0,
        "match_rule": "provider_id",
        **costs,
    }


def test_the_documented_assets_come_back_with_the_same_cost(tmp_path: Path) -> None:
    recorded = read("assets.json")["data"][0]
    day = date(2023, 7, 18)
    with answering({"code": 200, "data": [recorded]}) as endpoint:
        client_of(endpoint, "cluster-one").fetch_assets(day, tmp_path / "day.parquet")
    rows = rows_of(tmp_path / "day.parquet", day)
    adjustments = {item["type"]: item.get("adjustment", 0.0) for item in recorded.values()}
    for row in rows:
        row |= {"adjustment": adjustments[row["asset_type"]], "is_reconciled": True, "is_settled": True}
    lake = tmp_path / "lake"
    lake.mkdir()
    write_days(lake, ASSET_COSTS, [], rows)

    with serve(lake) as server:
        window = "2023-07-18T00:00:00Z,2023-07-19T00:00:00Z"
        [found] = server.data("/model/assets", window=window, aggregate="type")

    # The Network asset is the bill's to tell, and left out by our client.
    assert set(found) == set(recorded) - {"Network"}
    for kind, answered in found.items():
        # The discount is printed with six decimals: half of the last one, of 88,211, is 0.044.
        assert answered["totalCost"] == pytest.approx(recorded[kind]["totalCost"], abs=0.05)
    node = found["Node"]
    assert node["discount"] == pytest.approx(recorded["Node"]["discount"])
    for name in ("cpuCost", "ramCost", "gpuCost", "adjustment", "cpuCoreHours", "ramByteHours"):
        assert node[name] == pytest.approx(recorded["Node"][name], rel=1e-6)


def test_the_recorded_cloud_cost_comes_back_as_it_was(tmp_path: Path) -> None:
    """No client of ours reads cloud costs, which the bill tells: its charges are made from the recorded figures."""
    recorded = read("cloud-cost.json")["data"]
    [(name, item)] = recorded["sets"][0]["cloudCosts"].items()
    lake = tmp_path / "lake"
    lake.mkdir()
    write_bill(lake, ["aws", item["properties"]["accountID"]], _charges(item))

    asked = {
        "window": ",".join(item["window"].values()),
        "aggregate": ",".join(recorded["sets"][0]["aggregationProperties"]),
        # Without a question about resources, sums of services answer, which do not know what their rows have in common.
        "filter": 'providerID:"i-0abc123def456"',
    }
    with serve(lake) as server:
        found = server.data("/model/cloudCost", **asked)

    [answered] = found["sets"]
    # On top of theirs.
    ours = answered["cloudCosts"][name]
    assert (ours.pop("reconciled"), ours.pop("currency")) == (True, "USD")
    assert found == recorded


def _charges(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Return two charges of the item's cost: what Kubernetes caused, and the rest."""
    properties = item["properties"]
    columns = {
        "list_cost": "listCost",
        "net_cost": "netCost",
        "effective_cost": "amortizedNetCost",
        "invoiced_cost": "invoicedCost",
        "amortized_cost": "amortizedCost",
    }
    plain = {
        "date": date.fromisoformat(item["window"]["start"][:10]),
        "billing_account_id": properties["invoiceEntityID"],
        "sub_account_id": properties["accountID"],
        "service_name": properties["service"],
        "category": properties["category"],
        "resource_id": properties["providerID"],
        "availability_zone": properties["availabilityZone"],
        "tags": json.dumps(properties["labels"]),
    }
    charges = []
    for is_kubernetes in (True, False):
        costs = {}
        for column, metric in columns.items():
            whole, share = (Decimal(str(item[metric][part])) for part in ("cost", "kubernetesPercent"))
            costs[column] = str(whole * share if is_kubernetes else whole * (1 - share))
        charges.append({**plain, **costs, "is_kubernetes": is_kubernetes})
    return charges


def test_an_answer_can_be_compressed(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    write_allocations(lake, "one", [{"namespace": f"n{i}", "cpu_cost": 1.0} for i in range(20)])

    with serve(lake) as server:
        window = "2026-10-05T00:00:00Z,2026-10-06T00:00:00Z"
        answer = server.get("/model/allocation", {"Accept-Encoding": "gzip"}, window=window, aggregate="namespace")

    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(answer.json()["data"][0]) == 20
