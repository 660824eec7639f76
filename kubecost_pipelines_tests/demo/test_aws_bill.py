import csv
import gzip
import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from kubecost_pipelines.demo.aws_bill import write_aws_bill
from kubecost_pipelines.demo.cluster_estimates import assets
from kubecost_pipelines.demo.company import COMPANY

Line = dict[str, str]

FIRST, SECOND = date(2026, 10, 1), date(2026, 10, 2)
DATABASE = "arn:aws:rds:us-east-1:111122223333:db:checkout"
NLB = "arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/net/k8s-web-storefr-0a1b2c3d4e/9f8e7d6c5b4a3210"


def test_an_ordinary_day_costs_what_its_hours_add_up_to(tmp_path: Path) -> None:
    write_aws_bill(tmp_path, [SECOND])
    lines = read(tmp_path)

    on_demand = Decimal("0.192") + Decimal("0.096") + 2 * Decimal("0.0832") + 2 * Decimal("0.096")
    hour = (
        on_demand * Decimal("0.95")  # with the private discount
        + Decimal("0.0768")  # spot
        + Decimal("0.12")  # Savings Plan
        + Decimal("0.045")  # data transfer
        + Decimal("0.05")  # 500 GiB of volumes
        + Decimal("0.0585")  # load balancers
        + 3 * Decimal("0.10")  # EKS
        + Decimal("0.356")  # RDS
        + Decimal("0.135")  # NAT gateway
    )
    assert len(lines) == 34 * 24 + 1
    assert unblended(lines) == 24 * hour + Decimal("0.50") == Decimal("42.62912")


def test_the_first_of_a_month_has_the_monthly_lines_too(tmp_path: Path) -> None:
    write_aws_bill(tmp_path, [FIRST])
    lines = read(tmp_path)

    monthly = {"Fee": "100.00", "Tax": "80.00", "Credit": "-10.00", "Refund": "-4.50", "RIFee": "78.120"}
    assert {
        line["lineItem/LineItemType"]: line["lineItem/UnblendedCost"]
        for line in lines
        if line["identity/TimeInterval"] == "2026-10-01T00:00:00Z/2026-11-01T00:00:00Z"
    } == monthly
    assert len(lines) == 34 * 24 + 1 + 5
    assert unblended(lines) == Decimal("42.62912") + Decimal("243.62")


def test_covered_usage_and_its_negation_cancel_exactly(tmp_path: Path) -> None:
    write_aws_bill(tmp_path, [FIRST, SECOND])

    for day in (FIRST, SECOND):
        covered = of_type(read(tmp_path), "SavingsPlanCoveredUsage", day)
        negation = of_type(read(tmp_path), "SavingsPlanNegation", day)
        assert unblended(covered) == 24 * Decimal("0.17")
        assert unblended(covered) + unblended(negation) == 0
        assert total(covered, "savingsPlan/SavingsPlanEffectiveCost") == 24 * Decimal("0.11")
        assert {line["lineItem/ResourceId"] for line in covered} == {"i-0aaaaaaaaaaaaaa13"}
        assert {line["lineItem/ResourceId"] for line in negation} == {""}


def test_the_savings_plan_is_paid_by_the_hour_and_a_little_is_not_used(tmp_path: Path) -> None:
    write_aws_bill(tmp_path, [SECOND])
    fee = of_type(read(tmp_path), "SavingsPlanRecurringFee")

    committed, used = (
        total(fee, "savingsPlan/TotalCommitmentToDate"),
        total(fee, "savingsPlan/UsedCommitment"),
    )

    assert unblended(fee) == committed == 24 * Decimal("0.12")
    assert committed - used == 24 * Decimal("0.01")


def test_reserved_hours_are_free_and_the_fee_shows_what_nobody_used(tmp_path: Path) -> None:
    write_aws_bill(tmp_path, [FIRST])
    used, [fee] = of_type(read(tmp_path), "DiscountedUsage"), of_type(read(tmp_path), "RIFee")

    assert unblended(used) == 0
    assert total(used, "reservation/EffectiveCost") == 24 * Decimal("0.12")
    assert total(used, "pricing/publicOnDemandCost") == 24 * Decimal("0.192")
    assert unblended([fee]) == 744 * 3 * Decimal("0.035")
    assert total([fee], "reservation/UnusedAmortizedUpfrontFeeForBillingPeriod") == 744 * Decimal("0.025")
    assert total([fee], "reservation/UnusedRecurringFee") == 744 * Decimal("0.035")
    assert {line["reservation/ReservationARN"] for line in [*used, fee]} == {COMPANY.reservation.arn}


def test_a_reserved_hour_costs_its_share_of_the_reservation() -> None:
    reservation = COMPANY.reservation
    [node] = [node for node in COMPANY.clusters[0].nodes if node.purchase == "reserved"]

    instance_hour = reservation.upfront_hour_cost + reservation.recurring_hour_cost

    assert node.hour_cost == reservation.used * instance_hour


def test_a_spot_node_is_billed_below_its_list_price(tmp_path: Path) -> None:
    write_aws_bill(tmp_path, [SECOND])

    spot = [line for line in read(tmp_path) if line["lineItem/UsageType"] == "USE1-SpotUsage:m5.xlarge"]

    assert unblended(spot) == 24 * Decimal("0.0768")
    assert total(spot, "pricing/publicOnDemandCost") == 24 * Decimal("0.192")


@pytest.mark.parametrize(
    ("resource_id", "hour_cost"),
    [
        ("i-0aaaaaaaaaaaaaa10", "0.2274"),  # 0.192 less 5 %, and 0.045 of data transfer
        ("i-0aaaaaaaaaaaaaa11", "0.0912"),
        ("i-0bbbbbbbbbbbbbb10", "0.07904"),
        ("vol-0aaaaaaaaaaaaaa02", "0.01"),
        (NLB, "0.0255"),
        ("arn:aws:eks:us-east-1:111122223333:cluster/prod-eks-1", "0.10"),
        (DATABASE, "0.356"),
    ],
)
def test_a_resource_costs_the_same_every_hour(tmp_path: Path, resource_id: str, hour_cost: str) -> None:
    write_aws_bill(tmp_path, [FIRST, SECOND])
    lines = [line for line in read(tmp_path) if line["lineItem/ResourceId"] == resource_id]

    by_hour: defaultdict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        by_hour[line["lineItem/UsageStartDate"]] += Decimal(line["lineItem/UnblendedCost"])

    assert len(by_hour) == 48
    assert set(by_hour.values()) == {Decimal(hour_cost)}


def test_tags_say_which_cluster_service_and_namespace_a_charge_belongs_to(tmp_path: Path) -> None:
    write_aws_bill(tmp_path, [SECOND])
    by_id = {line["lineItem/ResourceId"]: line for line in read(tmp_path)}

    forgotten, balancer = by_id["i-0ffffffffffffff10"], by_id[NLB]

    assert forgotten["resourceTags/aws:eks:cluster-name"] == "forgotten-eks-1"
    assert forgotten["resourceTags/user:kubernetes.io/cluster/forgotten-eks-1"] == "owned"
    assert by_id["vol-0aaaaaaaaaaaaaa02"]["resourceTags/aws:eks:cluster-name"] == "prod-eks-1"
    assert balancer["resourceTags/user:kubernetes.io/service-name"] == "web/storefront"
    assert balancer["resourceTags/user:kubernetes.io/cluster/prod-eks-1"] == "owned"
    assert by_id[DATABASE]["resourceTags/user:kubernetes_namespace"] == "checkout"


def test_the_bill_and_the_clusters_agree_on_ids_but_for_the_deliberate_exceptions(tmp_path: Path) -> None:
    write_aws_bill(tmp_path, [SECOND])
    billed = {line["lineItem/ResourceId"].rpartition("/")[2] for line in read(tmp_path)}
    monitored = [cluster for cluster in COMPANY.clusters if cluster.is_monitored]
    items = [item for cluster in monitored for item in assets(cluster, SECOND).values()]
    seen = {item["properties"]["providerID"] for item in items if "providerID" in item["properties"]}

    assert seen - billed == {"i-0aaaaaaaaaaaaaa15", "k8s"}
    assert {name for name in billed - seen if name.startswith(("i-", "vol-"))} == {
        "i-0ffffffffffffff10",
        "i-0ffffffffffffff11",
        "vol-0ffffffffffffff01",
    }


def test_the_first_version_prices_the_restated_day_wrongly_and_the_second_mends_it(tmp_path: Path) -> None:
    days = [SECOND, date(2026, 10, 3)]

    write_aws_bill(tmp_path, days, restated_day=SECOND)
    before = read(tmp_path)
    write_aws_bill(tmp_path, days, version=2, restated_day=SECOND)
    after = read(tmp_path)

    assert unblended(on(before, SECOND)) - Decimal("42.62912") == 24 * (Decimal("0.536") - Decimal("0.356"))
    assert unblended(on(after, SECOND)) == Decimal("42.62912") - 5
    assert [line["lineItem/ProductCode"] for line in of_type(after, "Credit", SECOND)] == ["AmazonRDS"]
    assert on(before, days[1]) == on(after, days[1])
    assert len(list(tmp_path.glob("20261001-20261101/*/cur-00001.csv.gz"))) == 2


def test_line_item_ids_are_unique_and_stay_the_same_in_the_next_version(tmp_path: Path) -> None:
    write_aws_bill(tmp_path, [FIRST, SECOND], restated_day=FIRST)
    before = [line["identity/LineItemId"] for line in read(tmp_path)]
    write_aws_bill(tmp_path, [FIRST, SECOND], version=2, restated_day=FIRST)
    after = [line["identity/LineItemId"] for line in read(tmp_path)]

    assert len(before) == len(set(before))
    assert len(after) == len(set(after)) == len(before) + 1
    assert set(before) < set(after)


def test_the_same_days_give_the_same_bytes(tmp_path: Path) -> None:
    write_aws_bill(tmp_path / "a", [FIRST, SECOND])
    write_aws_bill(tmp_path / "b", [SECOND, FIRST, SECOND])

    [left], [right] = (list((tmp_path / name).glob("*/*/*.csv.gz")) for name in ("a", "b"))
    assert left.read_bytes() == right.read_bytes()


def test_the_manifest_of_every_month_names_the_columns_and_files_that_are_there(tmp_path: Path) -> None:
    folder = tmp_path / "bills" / "cur"
    write_aws_bill(folder, [date(2026, 12, 31), date(2027, 1, 1)])

    manifests = sorted(folder.glob("*/cur-Manifest.json"))
    assert [path.parent.name for path in manifests] == ["20261201-20270101", "20270101-20270201"]
    for path in manifests:
        manifest = json.loads(path.read_text())
        [key] = manifest["reportKeys"]
        assert (tmp_path / key).parent.joinpath("cur-Manifest.json").read_text() == path.read_text()
        with gzip.open(tmp_path / key, "rt") as file:
            assert next(csv.reader(file)) == [f"{c['category']}/{c['name']}" for c in manifest["columns"]]


def read(folder: Path) -> list[Line]:
    """Return the lines of the one month in `folder`, as its manifest names them."""
    [path] = folder.glob("*/cur-Manifest.json")
    [key] = json.loads(path.read_text())["reportKeys"]
    with gzip.open(folder / key.removeprefix("bills/cur/"), "rt") as file:
        return list(csv.DictReader(file))


def on(lines: Sequence[Line], day: date) -> list[Line]:
    return [line for line in lines if line["lineItem/UsageStartDate"].startswith(str(day))]


def of_type(lines: Sequence[Line], line_type: str, day: date | None = None) -> list[Line]:
    chosen = lines if day is None else on(lines, day)
    return [line for line in chosen if line["lineItem/LineItemType"] == line_type]


def total(lines: Sequence[Line], column: str) -> Decimal:
    return sum((Decimal(line[column]) for line in lines), Decimal(0))


def unblended(lines: Sequence[Line]) -> Decimal:
    return total(lines, "lineItem/UnblendedCost")
