import json
from collections import defaultdict
from datetime import date
from decimal import Decimal
from urllib.request import Request, urlopen

import pytest
import requests

from kubecost_pipelines.demo.cluster_api import serve_cluster
from kubecost_pipelines.demo.cluster_estimates import Item, allocations, assets
from kubecost_pipelines.demo.company import PROD, STAGING
from kubecost_pipelines.demo.model import Cluster

DAYS = [date(2026, 10, day) for day in (1, 2, 3)]
TWO_DAYS = "2026-10-01T00:00:00Z,2026-10-03T00:00:00Z"

both_clusters = pytest.mark.parametrize("cluster", [PROD, STAGING], ids=lambda cluster: cluster.name)


@both_clusters
def test_containers_and_idle_add_up_to_each_node(cluster: Cluster) -> None:
    for day in DAYS:
        used: defaultdict[str, Decimal] = defaultdict(Decimal)
        for item in allocations(cluster, day, with_idle=True).values():
            used[item["properties"]["node"]] += item["cpuCost"] + item["ramCost"]

        assert used == {item["properties"]["name"]: item["totalCost"] for item in of_type(cluster, "Node", day)}


@both_clusters
def test_no_node_holds_more_than_it_has(cluster: Cluster) -> None:
    for day in DAYS:
        for name, item in allocations(cluster, day, with_idle=True).items():
            if name.endswith("/__idle__"):
                assert min(item["cpuCoreHours"], item["ramByteHours"], item["cpuCost"], item["ramCost"]) > 0


@both_clusters
def test_everything_but_the_management_fee_is_allocated(cluster: Cluster) -> None:
    day = DAYS[0]
    allocated = cost(allocations(cluster, day, with_idle=True))

    [fee] = of_type(cluster, "ClusterManagement", day)

    assert fee["totalCost"] == Decimal("2.40")
    assert allocated + fee["totalCost"] == cost(assets(cluster, day))


def test_disks_and_load_balancers_go_to_the_pods_that_use_them() -> None:
    items = allocations(PROD, DAYS[0], with_idle=True).values()

    volumes = {pv["providerID"]: pv["cost"] for item in items for pv in (item["pvs"] or {}).values()}
    balancers: defaultdict[str, list[Decimal]] = defaultdict(list)
    for item in items:
        for balancer in (item["lbAllocations"] or {}).values():
            balancers[balancer["service"]].append(balancer["cost"])

    assert volumes["vol-0aaaaaaaaaaaaaa02"] == Decimal("0.264")  # 100 GiB, 24 hours, 0.00011
    assert len(volumes) == 4
    assert balancers == {
        "web/storefront": [Decimal("0.075")] * 8,
        "ingress/ingress-nginx": [Decimal("0.3")] * 2,
    }


def test_a_cluster_believes_in_list_prices() -> None:
    costs = {item["properties"]["providerID"]: item["totalCost"] for item in of_type(PROD, "Node", DAYS[0])}

    assert costs == {
        "i-0aaaaaaaaaaaaaa10": Decimal("4.608"),
        "i-0aaaaaaaaaaaaaa11": Decimal("2.304"),
        "i-0aaaaaaaaaaaaaa12": Decimal("4.608"),
        "i-0aaaaaaaaaaaaaa13": Decimal("4.08"),
        "i-0aaaaaaaaaaaaaa14": Decimal("4.608"),
        "i-0aaaaaaaaaaaaaa15": Decimal("3.024"),
    }
    assert cost(assets(PROD, DAYS[0])) == Decimal("27.8088")
    assert cost(assets(STAGING, DAYS[0])) == Decimal("6.4728")


def test_load_balancers_have_the_id_that_is_cut_out_of_their_hostname() -> None:
    ids = {
        item["properties"]["name"]: item["properties"]["providerID"] for item in of_type(PROD, "LoadBalancer", DAYS[0])
    }

    assert ids == {"ingress/ingress-nginx": "a1b2c3d4e5f60718293a4b5c6d7e8f90", "web/storefront": "k8s"}


def test_workloads_vary_from_day_to_day_and_never_between_two_answers() -> None:
    first, again, second = (allocations(PROD, day, with_idle=False) for day in (DAYS[0], DAYS[0], DAYS[1]))

    assert first == again
    assert cost(first) != cost(second)


def test_the_total_of_a_cluster_is_the_sum_of_its_items() -> None:
    with serve_cluster("prod-eks-1", DAYS) as endpoint:
        for route, idle in (("assets", "true"), ("allocation", "true"), ("allocation", "false")):
            days = get(endpoint, route, idle=idle)
            totals = get(endpoint, route, idle=idle, aggregate="cluster")

            for items, whole in zip(days, totals, strict=True):
                assert list(whole) == ["prod-eks-1"]
                expected = sum(item["totalCost"] for item in items.values())
                assert whole["prod-eks-1"]["totalCost"] == pytest.approx(expected, abs=1e-9)


def test_a_day_is_one_map_and_an_unknown_day_an_empty_one() -> None:
    with serve_cluster("staging-eks-1", DAYS[:1]) as endpoint:
        first, second = get(endpoint, "allocation", aggregate="")

        assert len(first) == 12  # ten containers, two idle
        assert second == {}
        assert get(endpoint, "assets", aggregate="cluster")[1] == {}


def test_pages_put_together_are_the_whole_answer() -> None:
    with serve_cluster("prod-eks-1", DAYS) as endpoint:
        pages = [get(endpoint, "allocation", offset=offset, limit=20)[0] for offset in (0, 20, 40)]

        assert [len(page) for page in pages] == [20, 20, 4]  # 38 containers, 6 idle
        assert pages[0] | pages[1] | pages[2] == get(endpoint, "allocation")[0]


def test_an_answer_is_gzipped_only_when_asked_for() -> None:
    with serve_cluster("prod-eks-1", DAYS) as endpoint:
        url = f"{endpoint}/model/assets?window={TWO_DAYS}"
        zipped = requests.get(url, headers={"Accept-Encoding": "gzip"}, timeout=10)
        with urlopen(Request(url), timeout=10) as plain:
            assert "Content-Encoding" not in plain.headers
            assert json.load(plain) == zipped.json()

        assert zipped.headers["Content-Encoding"] == "gzip"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/healthz", 200),
        ("/model/nothing", 404),
        ("/model/assets", 400),
        ("/model/assets?window=yesterday", 400),
        ("/model/assets?window=2026-10-01T12:00:00Z,2026-10-02T00:00:00Z", 400),
        (f"/model/allocation?window={TWO_DAYS}&accumulate=true", 400),
        (f"/model/allocation?window={TWO_DAYS}&aggregate=namespace", 400),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(path: str, code: int) -> None:
    with serve_cluster("prod-eks-1", DAYS) as endpoint:
        answer = requests.get(endpoint + path, timeout=10)

    assert (answer.status_code, answer.json()["code"]) == (code, code)


def test_a_cluster_that_nobody_monitors_has_no_api() -> None:
    with (
        pytest.raises(ValueError, match="choose one of prod-eks-1, staging-eks-1"),
        serve_cluster("forgotten-eks-1", DAYS),
    ):
        pass


def get(endpoint: str, route: str, **parameters: object) -> list[dict[str, Item]]:
    """Return the `data` that the API answers for two days."""
    query = {"window": TWO_DAYS, **{name: str(value) for name, value in parameters.items()}}
    answer = requests.get(f"{endpoint}/model/{route}", params=query, timeout=10)
    answer.raise_for_status()
    assert answer.json()["code"] == 200
    data: list[dict[str, Item]] = answer.json()["data"]
    return data


def of_type(cluster: Cluster, kind: str, day: date) -> list[Item]:
    return [item for item in assets(cluster, day).values() if item["type"] == kind]


def cost(items: dict[str, Item]) -> Decimal:
    return sum((item["totalCost"] for item in items.values()), Decimal(0))
