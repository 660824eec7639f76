"""Which assets and days a rebuild or repair is for, worked out by hand for a graph of two bills and a cluster."""

from datetime import UTC, date, datetime, timedelta

import pytest

from kubecost_pipelines.operations.errors import IllegalWindowError, UnknownTargetError
from kubecost_pipelines.operations.pipelines import Graph, Node, plan_rebuild, plan_repair

NOW = datetime(2026, 11, 8, 9, 30, tzinfo=UTC)
AWS = {"provider": "aws", "provider_key": "111122223333"}
GCP = {"provider": "gcp", "provider_key": "acme-prod"}
CLUSTER = {"cluster": "prod-eks-1"}
GRAPH = Graph(
    [
        Node(("asset_costs",), {}),
        Node(("asset_inventory",), {}),
        Node(("allocations", "prod-eks-1"), CLUSTER),
        Node(("in_cluster_assets", "prod-eks-1"), CLUSTER),
        Node(("cloud_billing", "aws", "111122223333"), AWS),
        Node(("cloud_assets", "aws", "111122223333"), AWS),
        Node(("reconciled_assets", "aws", "111122223333"), AWS),
        # Its cloud assets are switched off.
        Node(("cloud_billing", "gcp", "acme-prod"), GCP),
        Node(("reconciled_assets", "gcp", "acme-prod"), GCP),
    ],
    [date(2026, 11, 1) + timedelta(days=i) for i in range(7)],
)


def test_a_rebuild_is_for_every_day_and_reads_the_bill_again() -> None:
    plan = plan_rebuild(GRAPH, "reconciliation")

    assert set(plan.assets) == {
        "asset_costs",
        "cloud_billing/aws/111122223333",
        "reconciled_assets/aws/111122223333",
        "cloud_billing/gcp/acme-prod",
        "reconciled_assets/gcp/acme-prod",
    }
    assert (plan.days[0], plan.days[-1], len(plan.days)) == (date(2026, 11, 1), date(2026, 11, 7), 7)
    assert plan.tags["kubecost_pipelines/process"] == "reconciliation"


@pytest.mark.parametrize("named", ["aws/111122223333", "111122223333"])
def test_one_bill_is_named_by_its_provider_key_or_its_id_alone(named: str) -> None:
    plan = plan_rebuild(GRAPH, "cloud-assets", named)

    assert set(plan.assets) == {"cloud_billing/aws/111122223333", "cloud_assets/aws/111122223333"}
    assert plan.tags["kubecost_pipelines/provider_key"] == "111122223333"
    assert plan.title == "rebuild cloud-assets of aws/111122223333"


def test_a_process_that_is_off_is_no_target_and_all_leaves_it_out() -> None:
    with pytest.raises(UnknownTargetError, match=r"There are: aws/111122223333\. .*`off`"):
        plan_rebuild(GRAPH, "cloud-assets", "gcp/acme-prod")

    assert set(plan_rebuild(GRAPH, "cloud-assets").assets) == {
        "cloud_billing/aws/111122223333",
        "cloud_assets/aws/111122223333",
    }


@pytest.mark.parametrize(
    ("window", "first", "last"),
    [
        ("3d", 6, 7),  # 6, 7 and today, which has not ended
        ("yesterday", 7, 7),
        ("2026-11-02T10:00:00Z,2026-11-03T00:00:00Z", 2, 2),
        ("2026-11-02T10:00:00Z,2026-11-03T00:00:01Z", 2, 3),
        ("lastweek", 1, 7),
        ("5000d", 1, 7),
    ],
)
def test_a_repair_is_for_the_days_that_the_window_touches_and_that_have_ended(
    window: str, first: int, last: int
) -> None:
    plan = plan_repair(GRAPH, "allocations", window, NOW, "prod-eks-1")

    assert plan.assets == ["allocations/prod-eks-1"]
    assert [day.day for day in plan.days] == list(range(first, last + 1))
    assert (plan.tags["kubecost_pipelines/first_day"], plan.tags["kubecost_pipelines/cluster"]) == (
        f"2026-11-0{first}",
        "prod-eks-1",
    )


@pytest.mark.parametrize("window", ["today", "15m", "2026-10-01T00:00:00Z,2026-10-02T00:00:00Z", "1d offset 5000d"])
def test_a_window_without_a_day_to_repair_is_refused(window: str) -> None:
    with pytest.raises(IllegalWindowError, match="there are 2026-11-01 to 2026-11-07"):
        plan_repair(GRAPH, "allocations", window, NOW)


def test_an_id_that_two_providers_have_must_be_said_whole() -> None:
    twice = Graph(
        [Node(("cloud_assets", one, "same"), {"provider": one, "provider_key": "same"}) for one in ("aws", "gcp")],
        GRAPH.days,
    )

    with pytest.raises(UnknownTargetError, match="more than one: aws/same, gcp/same"):
        plan_rebuild(twice, "cloud-assets", "same")
