"""What each kind of line on an AWS bill costs: every expected figure is worked out by hand from the line."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pytest

from kubecost_pipelines.core.bills.aws_cur import RULES, canonical_name
from kubecost_pipelines.core.bills.aws_lines import RESIDUAL, normalise, residual
from kubecost_pipelines.core.bills.source import UnknownBillError
from kubecost_pipelines.core.window import Window
from kubecost_pipelines_tests.core.tables import rows

MONTH = Window.of_days(date(2026, 10, 1), date(2026, 10, 31))
RESERVATION = "arn:aws:ec2:us-east-1:111122223333:reserved-instances/0f1e"
SAVINGS_PLAN = "arn:aws:savingsplans::111122223333:savingsplan/5a6b"


def line(charge_type: str, unblended: str, **columns: str) -> dict[str, str]:
    plain = {
        "bill/PayerAccountId": "111122223333",
        "lineItem/UsageAccountId": "111122223333",
        "lineItem/LegalEntity": "Amazon Web Services, Inc.",
        "lineItem/CurrencyCode": "USD",
        "lineItem/LineItemType": charge_type,
        "lineItem/ProductCode": "AmazonEC2",
        "lineItem/UsageType": "BoxUsage:m5.xlarge",
        "lineItem/ResourceId": "i-0abc",
        "lineItem/UsageStartDate": "2026-10-05T07:00:00Z",
        "lineItem/UsageAmount": "1",
        "lineItem/UnblendedCost": unblended,
    }
    return plain | {name.replace("__", "/"): value for name, value in columns.items()}


def report(lines: list[dict[str, str]]) -> ir.Table:
    """Return the lines as DuckDB reads a CSV: every column is text, and empty where a line has nothing."""
    names = list(dict.fromkeys(name for one in lines for name in one))
    table = pa.table({name: pa.array([one.get(name, "") for one in lines], pa.string()) for name in names})
    return ibis.memtable(table)


def bill(*lines: dict[str, str], labels: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    named = normalise(report(list(lines)), MONTH, labels)
    return rows(named.union(residual(named)))


def costs(row: dict[str, Any]) -> dict[str, Decimal]:
    names = ("list", "contracted", "billed", "effective", "amortized", "net")
    return {name: row[f"{name}_cost"].normalize() + 0 for name in names}


def expect(**figures: str) -> dict[str, Decimal]:
    return {name: Decimal(value) for name, value in figures.items()}


def test_on_demand_usage_costs_what_it_costs() -> None:
    used = line("Usage", "0.192", pricing__publicOnDemandCost="0.2")

    [row] = bill(used, used)

    assert costs(row) == expect(
        list="0.4", contracted="0.384", billed="0.384", effective="0.384", amortized="0.384", net="0.384"
    )
    assert (row["charge_category"], row["pricing_category"], row["line_items"]) == ("Usage", "Standard", 2)
    assert (row["date"], row["provider_id"], row["category"]) == (date(2026, 10, 5), "i-0abc", "Compute")


def test_a_reserved_hour_is_billed_at_nothing_and_costs_its_share_of_the_reservation() -> None:
    reserved = line(
        "DiscountedUsage",
        "0",
        reservation__EffectiveCost="0.12",
        reservation__ReservationARN=RESERVATION,
        pricing__publicOnDemandCost="0.192",
    )

    [row] = bill(reserved)

    assert costs(row) == expect(
        list="0.192", contracted="0.192", billed="0", effective="0.12", amortized="0.12", net="0"
    )
    assert row["commitment_discount_id"] == RESERVATION
    assert (row["commitment_discount_category"], row["commitment_discount_status"]) == ("Usage", "Used")
    assert (row["pricing_category"], row["missing_cost_lines"]) == ("Committed", 0)


def test_a_reserved_hour_without_an_effective_cost_is_counted_as_missing() -> None:
    words = {"pricing__publicOnDemandCost": "convertible", "pricing__publicOnDemandRate": "No Upfront"}
    reserved = line("DiscountedUsage", "0", reservation__EffectiveCost="", **words)

    [row] = bill(reserved, reserved)

    assert row["missing_cost_lines"] == 2
    assert row["effective_cost"] == 0


def test_a_savings_plan_hour_costs_its_share_and_the_fee_only_what_is_unused() -> None:
    covered = line(
        "SavingsPlanCoveredUsage",
        "0.192",
        savingsPlan__SavingsPlanEffectiveCost="0.138",
        savingsPlan__SavingsPlanARN=SAVINGS_PLAN,
    )
    negation = line("SavingsPlanNegation", "-0.192", savingsPlan__SavingsPlanARN=SAVINGS_PLAN, lineItem__ResourceId="")
    fee = line(
        "SavingsPlanRecurringFee",
        "0.15",
        savingsPlan__TotalCommitmentToDate="0.15",
        savingsPlan__UsedCommitment="0.138",
        savingsPlan__SavingsPlanARN=SAVINGS_PLAN,
        lineItem__ProductCode="ComputeSavingsPlans",
        lineItem__ResourceId="",
    )

    by_type = {row["charge_type"]: row for row in bill(covered, negation, fee)}

    assert costs(by_type["SavingsPlanCoveredUsage"]) == expect(
        list="0.192", contracted="0.192", billed="0", effective="0.138", amortized="0.138", net="0.192"
    )
    assert costs(by_type["SavingsPlanNegation"]) == expect(
        list="0", contracted="0", billed="0", effective="0", amortized="0", net="-0.192"
    )
    assert costs(by_type["SavingsPlanRecurringFee"]) == expect(
        list="0.15", contracted="0.15", billed="0.15", effective="0.012", amortized="0.012", net="0.15"
    )
    assert by_type["SavingsPlanRecurringFee"]["charge_category"] == "Purchase"
    assert by_type["SavingsPlanRecurringFee"]["commitment_discount_status"] == "Unused"
    assert RESIDUAL not in by_type


def test_a_negation_that_does_not_cancel_leaves_a_residual_so_that_the_invoice_still_adds_up() -> None:
    covered = line("SavingsPlanCoveredUsage", "0.192", savingsPlan__SavingsPlanEffectiveCost="0.138")
    negation = line("SavingsPlanNegation", "-0.100")

    found = bill(covered, negation)

    [residual] = [row for row in found if row["charge_type"] == RESIDUAL]
    assert residual["billed_cost"] == Decimal("0.092")
    assert sum(row["billed_cost"] for row in found) == sum(row["invoiced_cost"] for row in found) == Decimal("0.092")


@pytest.mark.parametrize(
    ("charge_type", "columns", "category", "billed", "effective"),
    [
        pytest.param(
            "SavingsPlanUpfrontFee", {}, "Purchase", "100", "0", id="an upfront Savings Plan covers the future"
        ),
        pytest.param(
            "RIFee",
            {"reservation__UnusedAmortizedUpfrontFeeForBillingPeriod": "3", "reservation__UnusedRecurringFee": "4.5"},
            "Purchase",
            "100",
            "7.5",
            id="a reservation's fee costs what went unused",
        ),
        pytest.param(
            "Fee",
            {"reservation__ReservationARN": RESERVATION},
            "Purchase",
            "100",
            "0",
            id="an upfront reservation covers the future",
        ),
        pytest.param(
            "Fee", {"lineItem__ProductCode": "AWSSupportBusiness"}, "Purchase", "100", "100", id="support is a fee"
        ),
        pytest.param("Tax", {}, "Tax", "100", "100", id="tax"),
        pytest.param("Usage", {"lineItem__UsageType": "SpotUsage:m5.large"}, "Usage", "100", "100", id="spot"),
    ],
)
def test_each_purchase_and_tax_line(
    charge_type: str, columns: dict[str, str], category: str, billed: str, effective: str
) -> None:
    [row] = bill(line(charge_type, "100", **columns))

    assert row["charge_category"] == category
    assert (row["billed_cost"], row["effective_cost"]) == (Decimal(billed), Decimal(effective))


@pytest.mark.parametrize(("charge_type", "category"), [("Credit", "Credit"), ("Refund", "Adjustment")])
def test_credits_and_refunds_are_negative_in_every_cost(charge_type: str, category: str) -> None:
    [row] = bill(line(charge_type, "-25"))

    assert row["charge_category"] == category
    assert set(costs(row).values()) == {Decimal(-25)}


def test_a_private_discount_is_its_own_negative_line() -> None:
    found = bill(line("Usage", "10"), line("EdpDiscount", "-0.5"))

    discount = next(row for row in found if row["charge_type"] == "EdpDiscount")
    assert costs(discount) == expect(
        list="0", contracted="-0.5", billed="-0.5", effective="-0.5", amortized="-0.5", net="-0.5"
    )
    assert sum(row["billed_cost"] for row in found) == Decimal("9.5")


def test_with_net_columns_the_discount_is_in_the_usage_and_not_counted_again() -> None:
    used = line("Usage", "10", lineItem__NetUnblendedCost="9.5")
    discount = line("EdpDiscount", "-0.5", lineItem__NetUnblendedCost="")
    tax = line("Tax", "1", lineItem__NetUnblendedCost="")

    by_type = {row["charge_type"]: row for row in bill(used, discount, tax)}

    assert by_type["Usage"]["billed_cost"] == Decimal("9.5")
    assert by_type["Usage"]["contracted_cost"] == Decimal(10)
    assert by_type["EdpDiscount"]["billed_cost"] == 0
    assert by_type["Tax"]["billed_cost"] == 1
    assert sum(row["billed_cost"] for row in by_type.values()) == Decimal("10.5")


def test_net_effective_costs_are_preferred_to_gross_ones_and_amortized_stays_gross() -> None:
    reserved = line("DiscountedUsage", "0", reservation__EffectiveCost="0.12", reservation__NetEffectiveCost="0.114")
    covered = line(
        "SavingsPlanCoveredUsage",
        "0",
        savingsPlan__SavingsPlanEffectiveCost="0.138",
        savingsPlan__NetSavingsPlanEffectiveCost="0.131",
    )

    by_type = {row["charge_type"]: row for row in bill(reserved, covered)}

    assert by_type["DiscountedUsage"]["effective_cost"] == Decimal("0.114")
    assert by_type["DiscountedUsage"]["amortized_cost"] == Decimal("0.12")
    assert by_type["SavingsPlanCoveredUsage"]["effective_cost"] == Decimal("0.131")
    assert by_type["SavingsPlanCoveredUsage"]["amortized_cost"] == Decimal("0.138")


def test_words_in_optional_numbers_read_as_empty() -> None:
    transfer = line(
        "Usage",
        "0.0018",
        savingsPlan__SavingsPlanEffectiveCost="None",
        pricing__publicOnDemandCost="convertible",
        pricing__publicOnDemandRate="0.09",
        lineItem__UsageAmount="0.02",
    )

    [row] = bill(transfer)

    assert row["list_cost"] == Decimal("0.0018")  # 0.09 × 0.02
    assert row["missing_cost_lines"] == 0


def test_a_word_in_the_cost_itself_is_an_error_and_not_a_zero() -> None:
    import duckdb

    with pytest.raises(duckdb.ConversionException, match="twelve"):
        bill(line("Usage", "twelve"))


def test_a_line_type_that_we_do_not_know_keeps_its_cost() -> None:
    [row] = bill(line("DiscountedMoonlight", "3"))

    assert (row["charge_category"], row["billed_cost"]) == ("Adjustment", Decimal(3))


@pytest.mark.parametrize(
    ("started", "day"),
    [("2026-09-30T23:00:00Z", date(2026, 10, 1)), ("2026-11-01 00:00:00+00:00", date(2026, 10, 31))],
)
def test_a_charge_from_outside_the_billing_period_counts_on_the_nearest_day(started: str, day: date) -> None:
    late = line("Usage", "1", lineItem__UsageStartDate=started)

    [row] = bill(late)
    other_days = [d for d in MONTH.days if d != day]
    elsewhere = [
        one for d in (other_days[0], other_days[-1]) for one in rows(normalise(report([late]), Window.of_day(d), ()))
    ]

    assert row["date"] == day
    assert str(row["charge_period_start"]) == started[:10]
    assert elsewhere == []


def test_a_node_has_compute_and_network_rows() -> None:
    found = bill(line("Usage", "1"), line("Usage", "2", lineItem__UsageType="USE1-DataTransfer-Out-Bytes"))

    assert {(row["category"], row["billed_cost"]) for row in found} == {
        ("Compute", Decimal(1)),
        ("Network", Decimal(2)),
    }


POD = "arn:aws:eks:us-east-1:1:pod/c/ns/p/u"
CLUSTER = "arn:aws:eks:us-east-1:1:cluster/prod"
BALANCER = "arn:aws:elasticloadbalancing:us-east-1:1:loadbalancer/"


@pytest.mark.parametrize(
    ("product", "resource", "usage_type", "provider_id", "category"),
    [
        ("AWSELB", f"{BALANCER}a4", "LoadBalancerUsage", "a4", "Network"),
        ("AmazonEKS", POD, "Fargate-vCPU-Hours:perCPU", f"{POD}/CPU", "Compute"),
        ("AmazonEKS", POD, "Fargate-GB-Hours", f"{POD}/RAM", "Compute"),
        ("AmazonEKS", CLUSTER, "AmazonEKS-Hours:perCluster", CLUSTER, "Management"),
        ("AmazonEC2", "vol-0fc5", "EBS:VolumeUsage.gp3", "vol-0fc5", "Storage"),
        ("AmazonGuardDuty", "i-0abc", "Threat", "i-0abc", "Other"),
        ("AmazonS3", "my-bucket", "TimedStorage-ByteHrs", "my-bucket", "Storage"),
        ("AWSELB", BALANCER, "LoadBalancerUsage", BALANCER, "Network"),
    ],
)  # fmt: skip
def test_ids_and_categories_follow_opencost(
    product: str, resource: str, usage_type: str, provider_id: str, category: str
) -> None:
    charge = line(
        "Usage", "1", lineItem__ProductCode=product, lineItem__ResourceId=resource, lineItem__UsageType=usage_type
    )

    [row] = bill(charge)

    assert (row["provider_id"], row["category"]) == (provider_id, category)


def test_a_charge_without_a_resource_has_no_id() -> None:
    [row] = bill(line("Usage", "1", lineItem__ResourceId=""))

    assert row["provider_id"] is None
    assert row["resource_id"] is None


@pytest.mark.parametrize(
    "tags",
    [
        {"resourceTags/aws:eks:cluster-name": "prod-eks-1"},
        {"resourceTags/user:alpha.eksctl.io/cluster-name": "prod-eks-1"},
        {"resourceTags/user:kubernetes.io/cluster/prod-eks-1": "owned"},
        {"lineItem/ResourceId": "arn:aws:eks:us-east-1:1:cluster/prod-eks-1", "lineItem/ProductCode": "AmazonEKS"},
    ],
)
def test_tags_and_arns_name_the_cluster(tags: dict[str, str]) -> None:
    [row] = bill(line("Usage", "1") | tags)

    assert (row["is_kubernetes"], row["cluster"]) == (True, "prod-eks-1")


def test_the_configured_labels_become_tags_and_columns() -> None:
    web = line("Usage", "1") | {"resourceTags/user:team": "web", "resourceTags/user:other": "x"}
    none = line("Usage", "2") | {"resourceTags/user:team": ""}

    found = bill(web, none, labels=("team", "env"))

    assert [(row["label_team"], row["label_env"], json.loads(row["tags"])) for row in found] == [
        ("web", None, {"team": "web"}),
        (None, None, {}),
    ]


def test_tags_that_kubernetes_sets_are_columns_and_json_survives_quotes() -> None:
    charge = line("Usage", "1") | {
        "resourceTags/user:kubernetes.io/service-name": "web/shop",
        "resourceTags/user:kubernetes.io/created-for/pv/name": "pvc-1",
        "resourceTags/user:team": 'a "quoted\\ name',
    }

    [row] = bill(charge, labels=("team",))

    assert (row["kubernetes_service"], row["persistent_volume"]) == ("web/shop", "pvc-1")
    assert json.loads(row["tags"])["team"] == row["label_team"] == 'a "quoted\\ name'


def test_cur_2_with_typed_columns_and_a_map_of_tags_gives_the_same_rows() -> None:
    legacy = line("SavingsPlanCoveredUsage", "0.192", savingsPlan__SavingsPlanEffectiveCost="0.1382") | {
        "resourceTags/user:team": "web",
        "resourceTags/aws:eks:cluster-name": "prod-eks-1",
    }
    text = report([legacy])
    typed = {canonical_name(name): text[name] for name in text.columns if not name.startswith("resourceTags")}
    numbers = ("line_item_unblended_cost", "savings_plan_savings_plan_effective_cost", "line_item_usage_amount")
    typed |= {name: typed[name].cast("float64") for name in numbers}
    typed["line_item_usage_start_date"] = typed["line_item_usage_start_date"].cast("timestamp")
    typed["resource_tags"] = ibis.map(["user_team", "aws_eks_cluster_name"], ["web", "prod-eks-1"])

    found = rows(normalise(text.select(**typed), MONTH, ("team",)))

    assert found == rows(normalise(text, MONTH, ("team",)))
    assert found[0]["effective_cost"] == Decimal("0.1382")


def test_a_file_that_is_no_report_is_refused_by_the_columns_that_it_lacks() -> None:
    table = ibis.memtable(pa.table({"date": ["2026-10-01"], "cost": ["1"]}))

    with pytest.raises(UnknownBillError, match=r"line_item_unblended_cost.*INCLUDE RESOURCE IDS"):
        normalise(table, MONTH, ())


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("lineItem/UnblendedCost", "line_item_unblended_cost"),
        ("reservation/ReservationARN", "reservation_reservation_a_r_n"),
        ("resourceTags/user:kubernetes.io/service-name", "resource_tags_user_kubernetes_io_service_name"),
        ("pricing/publicOnDemandCost", "pricing_public_on_demand_cost"),
        ("line_item_unblended_cost", "line_item_unblended_cost"),
    ],
)
def test_headers_are_named_as_athena_names_them(header: str, name: str) -> None:
    assert canonical_name(header) == name


def test_every_rule_names_measures_that_exist() -> None:
    """A misspelt measure in the table of rules would only show on a bill with that line type."""
    found = bill(*(line(name, "1") for name in RULES))

    assert {row["charge_type"] for row in found} - {RESIDUAL} == set(RULES)
