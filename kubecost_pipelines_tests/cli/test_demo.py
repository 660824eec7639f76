"""`make demo` as a user runs it. The figures are worked out by hand from the company's prices."""

import json
import os
import subprocess
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
import yaml

from kubecost_pipelines.cli.docs import GENERATED
from kubecost_pipelines.defs.workbench import Workbench
from kubecost_pipelines.operations.explain import explain
from kubecost_pipelines.settings import load_settings
from kubecost_pipelines_tests.demo.made import COMMAND, MadeDemo

ROOT = Path(__file__).parents[2]


@pytest.fixture
def demo_folder(made_demo: MadeDemo) -> Path:
    return made_demo.folder


@pytest.fixture
def printed(made_demo: MadeDemo) -> str:
    return made_demo.printed


def row(printed: str, *starts: str) -> list[str]:
    """Return the cells of the printed row that begins with these cells."""
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in printed.splitlines() if "│" in line]
    return next(one for one in cells if one[: len(starts)] == list(starts))


def test_a_folder_that_is_not_a_demos_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"sand")

    refused = subprocess.run([str(COMMAND), "demo", str(tmp_path)], capture_output=True, text=True, check=False)

    assert refused.returncode == 1
    assert "is not a demo's folder, and is not empty: name another one." in refused.stderr
    assert (tmp_path / "holiday.jpg").read_bytes() == b"sand"


def test_the_cost_of_each_cluster_is_what_was_billed(printed: str) -> None:
    # prod: 27.8088 estimated; 19.7016 billed and the unknown node's 3.024 a day. Three of five days are settled.
    assert row(printed, "prod-eks-1", "settled") == ["prod-eks-1", "settled", "3", "83.43", "-15.25", "68.18"]
    # Provisional: nodes at what they cost on the settled days, 16.9536 instead of 23.232; the rest as estimated.
    assert row(printed, "prod-eks-1", "provisional")[3:] == ["55.62", "-12.56", "43.06"]


def test_namespaces_and_what_nobody_used_add_up_to_the_cluster(printed: str) -> None:
    start = printed.index("Namespaces of prod-eks-1")
    table = printed[start : printed.index("In-cluster cost adds up", start)]
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in table.splitlines() if "│" in line]

    in_cluster = {one[0]: float(one[3]) for one in cells}

    assert sum(in_cluster.values()) == pytest.approx(68.18 + 43.06, abs=0.06)  # each cell is rounded
    assert in_cluster["__idle__"] > 0
    assert in_cluster["__shared__"] == 12.0  # five days of the management fee, 0.10 an hour
    [checkout] = [one for one in cells if one[0] == "checkout"]
    assert checkout[4] == "42.72"  # its tagged database, 5 days at 24 × 0.356


def test_a_workload_is_explained_down_to_the_bill(printed: str, demo_folder: Path) -> None:
    settings = yaml.safe_load((demo_folder / "kubecost-pipelines.yaml").read_text(encoding="utf-8"))
    command: list[str | Path] = [COMMAND, "explain", "--cluster", "prod-eks-1", "--date", str(settings["start_date"])]
    environment = {**os.environ, "KUBECOST_PIPELINES_CONFIG": str(demo_folder / "kubecost-pipelines.yaml")}

    done = subprocess.run(
        [*command, "--namespace", "web", "--json"], env=environment, capture_output=True, text=True, check=True
    )
    whole = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True, check=True)
    strange = subprocess.run(
        [*command, "--namespace", "wbe"], env=environment, capture_output=True, text=True, check=False
    )

    found = json.loads(done.stdout)
    assert sum(one["total_cost"] for one in found["assets"]) == pytest.approx(found["total_cost"], abs=1e-9)
    assert found["estimate"] + found["adjustment"] == pytest.approx(found["total_cost"], abs=1e-12)
    balancer = next(one for one in found["assets"] if one["asset_type"] == "LoadBalancer")
    assert (balancer["asset_match_rule"], balancer["share"]) == ("service_tag", 1.0)
    assert balancer["total_cost"] == pytest.approx(24 * (0.0225 + 0.5 * 0.006))
    behind = [one for one in found["bill"] if one["asset_id"] == balancer["asset_id"]]
    assert sum(Decimal(one["effective_cost"]) for one in behind) == Decimal("0.612")
    reserved = next(one for one in found["bill"] if one["charge_type"] == "DiscountedUsage")
    assert (Decimal(reserved["billed_cost"]), Decimal(reserved["effective_cost"])) == (Decimal(0), Decimal("2.88"))
    everything = json.loads(whole.stdout)
    assert sum(one["total_cost"] for one in everything["assets"]) == pytest.approx(everything["total_cost"], abs=1e-9)
    assert {one["used_by"] for one in everything["assets"]} == {"workloads", "__idle__", "__shared__"}
    fee = next(one for one in everything["assets"] if one["resource"] == "shared")
    assert (fee["asset_type"], fee["total_cost"]) == ("ClusterManagement", pytest.approx(2.4))
    database = next(one for one in everything["assets"] if one["resource"] == "external")
    assert database["total_cost"] == pytest.approx(24 * 0.356)
    bill = [Decimal(one["effective_cost"]) for one in everything["bill"] if one["asset_id"] == database["asset_id"]]
    assert float(sum(bill)) == pytest.approx(24 * 0.356)
    assert strange.returncode == 3
    assert "nothing ran in prod-eks-1" in strange.stderr


def test_each_pod_is_explained_and_they_add_up_to_their_namespace(made_demo: MadeDemo) -> None:
    settings_file = made_demo.folder / "kubecost-pipelines.yaml"
    settings = load_settings(settings_file)
    assert settings
    day = settings.start_date
    files = f"{made_demo.folder}/lake/reconciled_allocations/prod-eks-1/date={day}/data.parquet"
    with duckdb.connect() as engine:
        query = f"SELECT pod, sum(total_cost) FROM '{files}' WHERE namespace = 'web' GROUP BY pod"
        pods = dict(engine.execute(query).fetchall())
    workbench = Workbench(settings)

    found = {pod: explain(workbench, "prod-eks-1", day, namespace="web", pod=pod) for pod in pods}
    namespace = explain(workbench, "prod-eks-1", day, namespace="web")

    assert len(pods) > 1
    for pod, one in found.items():
        assert one.total_cost == pytest.approx(pods[pod], abs=1e-9)
        assert sum(part["total_cost"] for part in one.assets) == pytest.approx(one.total_cost, abs=1e-9)
        assert any(part["asset_type"] == "Node" for part in one.assets)
        assert {row["asset_id"] for row in one.bill} <= {part["asset_id"] for part in one.assets}
    assert sum(one.total_cost for one in found.values()) == pytest.approx(namespace.total_cost, abs=1e-9)


def test_the_clusters_on_other_clouds_are_too(printed: str) -> None:
    # A day: nodes (0.1942 + 0.12) x 24, disk 100 x 24 x 0.0001, fee 2.40; and (0.192 + 0.115) x 24, 50 x 24 x 0.0001,
    # 2.40, and 0.60 of the scale set's traffic. Three of five days are settled.
    assert row(printed, "prod-gke-1", "settled")[-1] == "30.54"
    assert row(printed, "prod-aks-1", "settled")[-1] == "31.46"


def test_each_kind_of_node_has_its_price(printed: str) -> None:
    totals = [row(printed, f"ip-10-0-{n}")[3] for n in ("1-12", "1-13", "1-14", "9-15")]

    assert totals == ["2.88", "2.64", "1.84", "3.02"]  # reserved, Savings Plan, spot, not on the bill


def test_nothing_is_lost(printed: str) -> None:
    assert row(printed, "billed")[-1] == row(printed, "effective")[-1] == "0.000000000000"


def test_what_is_wrong_is_said(printed: str) -> None:
    assert "forgotten-eks-1" in printed
    assert "clusters_are_monitored (WARN)" in printed
    assert "was 46.94912 and is 37.62912 USD" in printed
    assert "make dev" in printed


def test_a_folder_that_is_not_a_demos_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine", encoding="utf-8")

    done = subprocess.run([COMMAND, "demo", str(tmp_path)], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "name another one" in done.stderr
    assert (tmp_path / "precious.txt").exists()


@pytest.mark.parametrize("name", GENERATED)
def test_the_generated_pages_are_up_to_date(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == GENERATED[name]()
