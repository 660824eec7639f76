"""AWS Cost and Usage Report, legacy and 2.0, as tables that a FinOps analyst can check.

Column names are those of Athena and of CUR 2.0 (`line_item_unblended_cost`); the CSV's slash names are
brought to them by `canonical_name`. Sources of the rules: AWS's data dictionary of the CUR, the FOCUS 1.2
definition of each cost, OpenCost for `amortized`, `net` and the categories.
"""

import re
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.bills.source import Source
from kubecost_pipelines.core.tables import COST

KEYS: dict[str, Source] = {
    "billing_account_id": Source(("bill_payer_account_id",), is_required=True),
    "invoice_id": Source(("bill_invoice_id",)),
    "invoice_issuer_name": Source(("line_item_legal_entity",)),
    "billing_currency": Source(("line_item_currency_code",), is_required=True),
    "sub_account_id": Source(("line_item_usage_account_id",), is_required=True),
    "charge_type": Source(("line_item_line_item_type",), is_required=True),
    "service_name": Source(("line_item_product_code",), is_required=True),
    "sku_meter": Source(("line_item_usage_type",), is_required=True),
    "region_id": Source(("product_region_code", "product_region")),
    "availability_zone": Source(("line_item_availability_zone",)),
    "resource_id": Source(("line_item_resource_id",), is_required=True),
    "reservation_arn": Source(("reservation_reservation_a_r_n", "reservation_reservation_arn")),
    "savings_plan_arn": Source(("savings_plan_savings_plan_a_r_n", "savings_plan_savings_plan_arn")),
}
"""What a daily row is grouped by."""

USAGE_START = Source(("line_item_usage_start_date",), is_required=True)

NUMBERS: dict[str, Source] = {
    "unblended_cost": Source(("line_item_unblended_cost",), COST, is_required=True),
    "net_unblended_cost": Source(("line_item_net_unblended_cost",), COST),
    "on_demand_cost": Source(("pricing_public_on_demand_cost",), COST),
    "on_demand_rate": Source(("pricing_public_on_demand_rate",), "float64"),
    "usage_amount": Source(("line_item_usage_amount",), "float64"),
    "reservation_cost": Source(("reservation_effective_cost",), COST),
    "net_reservation_cost": Source(("reservation_net_effective_cost",), COST),
    "unused_upfront": Source(("reservation_unused_amortized_upfront_fee_for_billing_period",), COST),
    "unused_recurring": Source(("reservation_unused_recurring_fee",), COST),
    "net_unused_upfront": Source(("reservation_net_unused_amortized_upfront_fee_for_billing_period",), COST),
    "net_unused_recurring": Source(("reservation_net_unused_recurring_fee",), COST),
    "savings_plan_cost": Source(("savings_plan_savings_plan_effective_cost",), COST),
    "net_savings_plan_cost": Source(("savings_plan_net_savings_plan_effective_cost",), COST),
    "commitment": Source(("savings_plan_total_commitment_to_date",), COST),
    "used_commitment": Source(("savings_plan_used_commitment",), COST),
}
"""What the measures are made from. Words in them (`None`, `convertible`) read as empty, but not in the required one."""


def measures(line: ir.Table) -> dict[str, ir.Value]:
    """Return what is summed over the lines of a day, from the columns of `NUMBERS`.

    `unblended` is what the invoice adds up; `net` is the same after private discounts, which AWS moves into the
    usage lines where it fills the net columns (the discount lines then have a net cost of nothing). `commitment`
    is the part of a commitment that the line uses or wastes. A measure that ends in `_missing` is 1 where a cost
    that is due is empty.
    """
    is_discount = line.charge_type.isin(DISCOUNTS)
    unblended = line.unblended_cost.fill_null(0)
    has_net = "net_unblended_cost" in line.columns
    net = line.net_unblended_cost.fill_null(ibis.ifelse(is_discount, 0, unblended)) if has_net else unblended
    rate_cost = (_number(line, "on_demand_rate", "float64") * _number(line, "usage_amount", "float64")).cast(COST)
    commitment = _commitment(line)
    net_commitment = ibis.coalesce(_net_commitment(line), commitment)
    return {
        "usage_quantity": _number(line, "usage_amount", "float64"),
        "unblended": unblended,
        "net": net,
        "on_demand": ibis.coalesce(_number(line, "on_demand_cost"), rate_cost, unblended),
        "commitment": commitment,
        "net_commitment": net_commitment,
        "unblended_missing": line.unblended_cost.isnull().cast("int8"),
        "commitment_missing": commitment.isnull().cast("int8"),
    }


def _commitment(line: ir.Table) -> ir.Value:
    """Return what a reservation or a Savings Plan costs on this line, by its type: used, or paid for and unused."""
    unused = _number(line, "unused_upfront").fill_null(0) + _number(line, "unused_recurring").fill_null(0)
    return ibis.cases(
        (line.charge_type == "DiscountedUsage", _number(line, "reservation_cost")),
        (line.charge_type == "SavingsPlanCoveredUsage", _number(line, "savings_plan_cost")),
        (line.charge_type == "RIFee", unused),
        (
            line.charge_type == "SavingsPlanRecurringFee",
            _number(line, "commitment") - _number(line, "used_commitment"),
        ),
    )


def _net_commitment(line: ir.Table) -> ir.Value:
    """Return the same after private discounts; null where the report does not tell."""
    return ibis.cases(
        (line.charge_type == "DiscountedUsage", _number(line, "net_reservation_cost")),
        (line.charge_type == "SavingsPlanCoveredUsage", _number(line, "net_savings_plan_cost")),
        (line.charge_type == "RIFee", _number(line, "net_unused_upfront") + _number(line, "net_unused_recurring")),
    )


def _number(line: ir.Table, name: str, type_: str = COST) -> ir.Value:
    return line[name] if name in line.columns else ibis.null().cast(type_)


@dataclass(frozen=True)
class ChargeRule:
    """What a line item type is in FOCUS, and the measure that gives each of its costs (`zero`: none)."""

    charge_category: str
    list_cost: str
    contracted_cost: str
    billed_cost: str
    effective_cost: str
    amortized_cost: str
    net_cost: str
    missing: str = "unblended_missing"
    commitment_status: str | None = None


RULES: dict[str, ChargeRule] = {
    # In the order of the fields: category, then list, contracted, billed, effective, amortized and net cost.
    "Usage": ChargeRule("Usage", "on_demand", "unblended", "net", "net", "unblended", "net"),
    "DiscountedUsage": ChargeRule(
        "Usage", "on_demand", "on_demand", "net", "net_commitment", "commitment", "net", "commitment_missing", "Used"
    ),
    # The negation rows take back what the covered rows cost: neither is on the invoice, so neither is billed.
    "SavingsPlanCoveredUsage": ChargeRule(
        "Usage",
        "on_demand",
        "unblended",
        "zero",
        "net_commitment",
        "commitment",
        "net",
        "commitment_missing",
        "Used",
    ),
    "SavingsPlanNegation": ChargeRule("Usage", "zero", "zero", "zero", "zero", "zero", "net"),
    "SavingsPlanRecurringFee": ChargeRule(
        "Purchase", "net", "net", "net", "net_commitment", "commitment", "net", commitment_status="Unused"
    ),
    "SavingsPlanUpfrontFee": ChargeRule("Purchase", "net", "net", "net", "zero", "zero", "net"),
    "RIFee": ChargeRule(
        "Purchase",
        "net",
        "net",
        "net",
        "net_commitment",
        "commitment",
        "net",
        commitment_status="Unused",
    ),
    "Fee": ChargeRule("Purchase", "net", "net", "net", "net", "unblended", "net"),
    "Tax": ChargeRule("Tax", "net", "net", "net", "net", "unblended", "net"),
    "Credit": ChargeRule("Credit", "net", "net", "net", "net", "unblended", "net"),
    "Refund": ChargeRule("Adjustment", "net", "net", "net", "net", "unblended", "net"),
    "EdpDiscount": ChargeRule("Usage", "zero", "unblended", "net", "net", "unblended", "net"),
    "PrivateRateDiscount": ChargeRule("Usage", "zero", "unblended", "net", "net", "unblended", "net"),
    "BundledDiscount": ChargeRule("Usage", "zero", "unblended", "net", "net", "unblended", "net"),
}
"""One row per `lineItem/LineItemType`. An upfront `Fee` with a reservation's ARN is a `RESERVATION_FEE`."""

RESERVATION_FEE = ChargeRule("Purchase", "net", "net", "net", "zero", "zero", "net")
UNKNOWN_TYPE = ChargeRule("Adjustment", "net", "net", "net", "net", "unblended", "net")
"""A type that AWS adds later is kept at what it costs; the check `charge_types_are_known` names it."""

DISCOUNTS = tuple(name for name in RULES if name.endswith("Discount"))

SERVICE_TAG = "kubernetes.io/service-name"
VOLUME_TAG = "kubernetes.io/created-for/pv/name"
KUBERNETES_TAGS = (
    "aws:eks:cluster-name",
    "eks:cluster-name",
    "alpha.eksctl.io/cluster-name",
    SERVICE_TAG,
    VOLUME_TAG,
    "kubernetes.io/created-for/pvc/name",
    "kubernetes.io/created-for/pvc/namespace",
)
"""Tags that Kubernetes and EKS put on what they create."""

CLUSTER_TAGS = KUBERNETES_TAGS[:3]
"""Those that name the cluster; besides, `kubernetes.io/cluster/<name>` = `owned` or `shared` does."""

OWNED_TAG_PREFIX = "kubernetes.io/cluster/"


def provider_id(row: ir.Table) -> ir.StringValue:
    """Return the resource's id as Kubernetes shows it.

    A load balancer's ARN ends in the id; a Fargate pod is billed twice, by CPU and by memory, and would collide.
    """
    resource = row.resource_id.nullif("")
    tail = row.resource_id.re_extract(r"^.+/([^/]+)$", 1).nullif("")
    part = ibis.cases((row.sku_meter.contains("CPU"), "/CPU"), (row.sku_meter.contains("GB"), "/RAM"), else_="")
    return ibis.cases(
        # The services first, so that the text functions run on their few rows only.
        (row.service_name.isin(["AWSELB", "AmazonFSx"]), tail.fill_null(resource)),
        ((row.service_name == "AmazonEKS") & row.resource_id.contains(":pod/"), resource + part),
        else_=resource,
    )


def category(row: ir.Table) -> ir.StringValue:
    """Return Compute, Storage, Network, Management or Other, by OpenCost's order of tests."""
    service, resource = row.service_name.upper(), row.resource_id
    return ibis.cases(
        (row.sku_meter.endswith("Bytes"), "Network"),
        (resource.startswith("i-") & (service == "AMAZONGUARDDUTY"), "Other"),
        (resource.startswith("i-"), "Compute"),
        (resource.startswith("vol-"), "Storage"),
        (service.isin(["AWSELB", "AWSGLUE", "AMAZONROUTE53"]), "Network"),
        (service.isin(["AMAZONEC2", "AWSLAMBDA", "AMAZONELASTICACHE"]), "Compute"),
        ((service == "AMAZONEKS") & resource.contains(":pod/"), "Compute"),
        (service == "AMAZONEKS", "Management"),
        (
            service.isin(["AMAZONS3", "AMAZONATHENA", "AMAZONRDS", "AMAZONDYNAMODB", "AWSSECRETSMANAGER", "AMAZONFSX"]),
            "Storage",
        ),
        else_="Other",
    )


def cluster_of_arn(row: ir.Table) -> ir.StringValue:
    """Return the cluster that an EKS ARN names (`…:cluster/<name>` or `…:pod/<name>/…`), else null."""
    name = row.resource_id.re_extract(r"^arn:[^:]*:eks:[^:]*:[^:]*:(?:cluster|pod)/([^/]+)", 1)
    return ibis.ifelse(row.service_name == "AmazonEKS", name.nullif(""), None)


def canonical_name(header: str) -> str:
    """Return a CSV header as Athena and CUR 2.0 name it: `lineItem/UsageType` is `line_item_usage_type`."""
    underscored = re.sub(r"(?<=[^/])(?=[A-Z])", "_", header) if "/" in header else header
    return re.sub(r"_+", "_", re.sub(r"[^a-z0-9]", "_", underscored.lower())).strip("_")
