"""The company's AWS bill: a legacy Cost and Usage Report, as S3 lays it out.

A line is built once, as the columns that its kind fills; the days only stamp it with times and an id.
"""

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from kubecost_pipelines.demo.company import COMPANY
from kubecost_pipelines.demo.model import (
    CloudResource,
    Cluster,
    Company,
    InvoiceLine,
    LoadBalancer,
    Meter,
    Node,
    Purchase,
    Tags,
    Volume,
)

BUCKET, PREFIX, REPORT = "lantern-books-billing", "bills/cur", "cur"

Line = dict[str, str]
"""A line of the report, by column. A column that is not there is empty."""

PRODUCT_NAMES = {
    "AmazonEC2": "Amazon Elastic Compute Cloud",
    "AmazonEKS": "Amazon Elastic Container Service for Kubernetes",
    "AmazonRDS": "Amazon Relational Database Service",
    "AmazonS3": "Amazon Simple Storage Service",
    "AWSELB": "Elastic Load Balancing",
    "AWSSupportBusiness": "AWS Support (Business)",
    "ComputeSavingsPlans": "Savings Plans for AWS Compute usage",
}

COLUMNS = tuple(
    f"{group}/{name}"
    for group, names in {
        "identity": "LineItemId TimeInterval",
        "bill": "InvoiceId BillingEntity BillType PayerAccountId BillingPeriodStartDate BillingPeriodEndDate",
        "lineItem": "UsageAccountId LineItemType UsageStartDate UsageEndDate ProductCode UsageType Operation "
        "AvailabilityZone ResourceId UsageAmount NormalizationFactor NormalizedUsageAmount CurrencyCode "
        "UnblendedRate UnblendedCost BlendedRate BlendedCost LineItemDescription TaxType LegalEntity",
        "product": "ProductName regionCode instanceType",
        "pricing": "publicOnDemandCost publicOnDemandRate term unit",
        "reservation": "ReservationARN EffectiveCost AmortizedUpfrontCostForUsage RecurringFeeForUsage "
        "NumberOfReservations TotalReservedUnits UnusedQuantity AmortizedUpfrontFeeForBillingPeriod "
        "UnusedAmortizedUpfrontFeeForBillingPeriod UnusedRecurringFee",
        "savingsPlan": "SavingsPlanARN SavingsPlanRate SavingsPlanEffectiveCost TotalCommitmentToDate "
        "UsedCommitment OfferingType PaymentOption Region",
    }.items()
    for name in names.split()
)


def write_aws_bill(folder: Path, days: Sequence[date], *, version: int = 1, restated_day: date | None = None) -> None:
    """Write the bill of `days` into `folder`, the report's `bills/cur`, month by month as S3 holds it.

    A month has `<YYYYMMDD-YYYYMMDD>/<assembly id>/cur-00001.csv.gz`, a manifest beside that file, and the
    manifest of the newest version in the month's own folder. Older versions stay where they are.

    Args:
        folder: where the files go. Keys in the manifests are relative to the bucket, not to this folder.
        days: UTC days. The monthly lines (support, tax, …) are part of the first day of their month.
        version: each version of a report has its own assembly id, and no version changes another's files.
        restated_day: a day that version 1 prices wrongly; later versions mend it and add a late credit.
    """
    for month in sorted({day.replace(day=1) for day in days}):
        in_month = sorted({day for day in days if day.replace(day=1) == month})
        lines = [line for day in in_month for line in _lines_of_day(COMPANY, day, version, day == restated_day)]
        _write_month(folder, month, version, lines)


def _write_month(folder: Path, month: date, version: int, lines: Sequence[Line]) -> None:
    period = f"{month:%Y%m%d}-{_next_month(month):%Y%m%d}"
    assembly_id = str(uuid5(NAMESPACE_URL, f"{BUCKET}/{PREFIX}/{period}/{version}"))
    file_name = f"{REPORT}-00001.csv.gz"
    columns = (*COLUMNS, *sorted({column for line in lines for column in line} - set(COLUMNS)))
    manifest = json.dumps(
        {
            "assemblyId": assembly_id,
            "account": COMPANY.account_id,
            "columns": [dict(zip(("category", "name"), column.split("/", 1), strict=True)) for column in columns],
            "charset": "UTF-8",
            "compression": "GZIP",
            "contentType": "text/csv",
            "reportId": hashlib.sha256(f"{BUCKET}/{PREFIX}/{REPORT}".encode()).hexdigest(),
            "reportName": REPORT,
            "billingPeriod": {
                "start": f"{month:%Y%m%d}T000000.000Z",
                "end": f"{_next_month(month):%Y%m%d}T000000.000Z",
            },
            "bucket": BUCKET,
            "reportKeys": [f"{PREFIX}/{period}/{assembly_id}/{file_name}"],
        },
        indent=2,
    )
    assembly = folder / period / assembly_id
    assembly.mkdir(parents=True, exist_ok=True)
    (assembly / file_name).write_bytes(_csv_gz(columns, lines))
    # The month's own manifest comes last: it is what makes the new version the current one.
    for manifest_folder in (assembly, assembly.parent):
        (manifest_folder / f"{REPORT}-Manifest.json").write_text(manifest, encoding="utf-8")


def _csv_gz(columns: Sequence[str], lines: Sequence[Line]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return gzip.compress(text.getvalue().encode(), mtime=0)


def _lines_of_day(company: Company, day: date, version: int, is_restated: bool) -> Iterator[Line]:
    start = datetime.combine(day, time(), UTC)
    restatement = company.restatement
    wrong_prices = {restatement.resource_id: restatement.wrong_price} if is_restated and version == 1 else {}
    hourly = [*_compute_lines(company), *_metered_lines(company, 1, wrong_prices)]
    for hour in range(24):
        begin = start + timedelta(hours=hour)
        yield from (_stamp(line, begin, begin + timedelta(hours=1)) for line in hourly)
    for line in _metered_lines(company, 24, wrong_prices):
        yield _stamp(line, start, start + timedelta(days=1))
    if is_restated and version > 1:
        yield _stamp(_invoice_line(restatement.late_credit), start, start + timedelta(days=1))
    if day.day == 1:
        end = datetime.combine(_next_month(day), time(), UTC)
        for line in (
            _reservation_fee(company, (end - start).days * 24),
            *map(_invoice_line, company.monthly_lines),
        ):
            yield _stamp(line, start, end)


def _stamp(line: Line, start: datetime, end: datetime) -> Line:
    """Return the line with its times, its bill and an id that is the same in every version."""
    month = start.date().replace(day=1)
    what = ("LineItemType", "ProductCode", "UsageType", "ResourceId")
    identity = "|".join([_rfc3339(start), *(line.get(f"lineItem/{name}", "") for name in what)])
    return {
        "identity/LineItemId": hashlib.sha256(identity.encode()).hexdigest()[:52],
        "identity/TimeInterval": f"{_rfc3339(start)}/{_rfc3339(end)}",
        "bill/BillingEntity": "AWS",
        "bill/BillType": "Refund" if line["lineItem/LineItemType"] == "Refund" else "Anniversary",
        "bill/PayerAccountId": COMPANY.account_id,
        "bill/BillingPeriodStartDate": f"{month}T00:00:00Z",
        "bill/BillingPeriodEndDate": f"{_next_month(month)}T00:00:00Z",
        "lineItem/UsageAccountId": COMPANY.account_id,
        "lineItem/UsageStartDate": _rfc3339(start),
        "lineItem/UsageEndDate": _rfc3339(end),
        "lineItem/CurrencyCode": "USD",
        "lineItem/LegalEntity": "Amazon Web Services, Inc.",
        **line,
    }


def _line(line_type: str, product_code: str, cost: Decimal, columns: Mapping[str, str]) -> Line:
    return {
        "lineItem/LineItemType": line_type,
        "lineItem/ProductCode": product_code,
        "lineItem/UnblendedCost": str(cost),
        "lineItem/BlendedCost": str(cost),
        "product/ProductName": PRODUCT_NAMES[product_code],
        **columns,
    }


def _invoice_line(line: InvoiceLine) -> Line:
    tax = {"lineItem/TaxType": "USSalesTax"} if line.line_type == "Tax" else {}
    columns = {"lineItem/LineItemDescription": line.description, "lineItem/UsageAmount": "1", **tax}
    return _line(line.line_type, line.product_code, line.cost, columns)


def _usage(resource_id: str, meter: Meter, tags: Tags, list_price: Decimal | None = None) -> Line:
    """Return the columns of anything metered. `list_price` is given where it is not what `meter` charges."""
    list_price = meter.price if list_price is None else list_price
    return {
        "lineItem/ResourceId": resource_id,
        "lineItem/UsageType": meter.usage_type,
        "lineItem/Operation": meter.operation,
        "lineItem/UsageAmount": str(meter.amount),
        "lineItem/UnblendedRate": str(meter.price),
        "lineItem/BlendedRate": str(meter.price),
        "lineItem/LineItemDescription": f"${meter.price} per {meter.unit} of {meter.usage_type}",
        "product/regionCode": COMPANY.region,
        "pricing/publicOnDemandRate": str(list_price),
        "pricing/publicOnDemandCost": str(meter.amount * list_price),
        "pricing/term": "OnDemand",
        "pricing/unit": meter.unit,
        **{f"resourceTags/{key}": value for key, value in tags.items()},
    }


def _metered_lines(company: Company, hours: int, wrong_prices: Mapping[str, Decimal]) -> Iterator[Line]:
    """Yield the lines of everything whose meters are read every `hours`."""
    for resource in _metered_resources(company):
        for meter in resource.meters:
            if meter.hours == hours:
                price = wrong_prices.get(resource.resource_id, meter.price)
                priced = Meter(meter.usage_type, meter.operation, meter.amount, meter.unit, price, hours)
                columns = _usage(resource.resource_id, priced, resource.tags)
                yield _line("Usage", resource.product_code, priced.amount * price, columns)


def _metered_resources(company: Company) -> Iterator[CloudResource]:
    fee = Meter(
        "USE1-AmazonEKS-Hours:perCluster",
        "CreateOperation",
        Decimal(1),
        "Hours",
        company.management_hour_price,
    )
    for cluster in company.clusters:
        # EKS does not put its own tag on the cluster that it bills: the name is in the ARN.
        arn = f"arn:aws:eks:{company.region}:{company.account_id}:cluster/{cluster.name}"
        yield CloudResource("AmazonEKS", arn, (fee,), {"user:env": cluster.env})
        yield from (_volume_resource(company, cluster, volume) for volume in cluster.volumes)
        yield from (_load_balancer_resource(cluster, balancer) for balancer in cluster.load_balancers)
        for node in cluster.nodes:
            if node.is_billed:
                yield CloudResource("AmazonEC2", node.instance_id, node.traffic, _node_tags(cluster))
    yield from company.cloud_resources


def _volume_resource(company: Company, cluster: Cluster, volume: Volume) -> CloudResource:
    meter = Meter(
        "USE1-EBS:VolumeUsage.gp3",
        "CreateVolume-Gp3",
        Decimal(volume.gib),
        "GB-Hours",
        company.volume_gib_hour_price,
    )
    tags = {
        **_node_tags(cluster),
        "user:kubernetes.io/created-for/pv/name": volume.name,
        "user:kubernetes.io/created-for/pvc/name": volume.claim,
    }
    return CloudResource("AmazonEC2", volume.volume_id, (meter,), tags)


def _load_balancer_resource(cluster: Cluster, balancer: LoadBalancer) -> CloudResource:
    tags = {**_cluster_tags(cluster), "user:kubernetes.io/service-name": balancer.service}
    return CloudResource("AWSELB", balancer.arn, balancer.meters, tags)


def _cluster_tags(cluster: Cluster) -> dict[str, str]:
    return {f"user:kubernetes.io/cluster/{cluster.name}": "owned", "user:env": cluster.env}


def _node_tags(cluster: Cluster) -> dict[str, str]:
    tags = {"aws:eks:cluster-name": cluster.name, **_cluster_tags(cluster)}
    return {**tags, "user:team": "platform"} if cluster.is_monitored else tags


def _compute_lines(company: Company) -> Iterator[Line]:
    """Yield an hour of every instance, and of the Savings Plan."""
    billed = [(cluster, node) for cluster in company.clusters for node in cluster.nodes if node.is_billed]
    for cluster, node in billed:
        yield from _node_lines(company, node, _node_tags(cluster))
    used = sum(node.hour_cost for _, node in billed if node.purchase is Purchase.SAVINGS_PLAN)
    plan = company.savings_plan
    yield _line(
        "SavingsPlanRecurringFee",
        "ComputeSavingsPlans",
        plan.hour_commitment,
        {
            "lineItem/UsageType": "ComputeSP:1yrNoUpfront",
            "lineItem/UsageAmount": "1",
            "lineItem/LineItemDescription": "1 year No Upfront Compute Savings Plan",
            "savingsPlan/SavingsPlanARN": plan.arn,
            "savingsPlan/TotalCommitmentToDate": str(plan.hour_commitment),
            "savingsPlan/UsedCommitment": str(used),
            "savingsPlan/OfferingType": "ComputeSavingsPlans",
            "savingsPlan/PaymentOption": "No Upfront",
            "savingsPlan/Region": "Any",
        },
    )


def _node_lines(company: Company, node: Node, tags: Tags) -> Iterator[Line]:
    """Yield an hour of an instance, as its purchase option has it on the bill."""
    list_price = node.instance_type.hour_price
    box = Meter(f"USE1-BoxUsage:{node.instance_type.name}", "RunInstances", Decimal(1), "Hrs", list_price)
    where = {"lineItem/AvailabilityZone": node.zone, "product/instanceType": node.instance_type.name}
    usage = _usage(node.instance_id, box, tags) | where
    match node.purchase:
        case Purchase.ON_DEMAND:
            # A discount is no usage: counting its hours too would double them.
            amounts = ("pricing/", "lineItem/UsageAmount", "lineItem/UnblendedRate", "lineItem/BlendedRate")
            discount = {name: text for name, text in usage.items() if not name.startswith(amounts)}
            discount["lineItem/LineItemDescription"] = "Enterprise Program Discount"
            yield _line("Usage", "AmazonEC2", node.hour_cost, usage)
            yield _line("EdpDiscount", "AmazonEC2", -node.hour_cost * company.edp_rate, discount)
        case Purchase.SPOT:
            spot = Meter(
                f"USE1-SpotUsage:{node.instance_type.name}",
                f"RunInstances:SV001:{node.zone}",
                Decimal(1),
                "Hrs",
                node.hour_cost,
            )
            columns = _usage(node.instance_id, spot, tags, list_price) | where | {"pricing/term": ""}
            yield _line("Usage", "AmazonEC2", node.hour_cost, columns)
        case Purchase.RESERVED:
            yield _line("DiscountedUsage", "AmazonEC2", Decimal(0), usage | _reservation_use(company, node))
        case Purchase.SAVINGS_PLAN:
            plan = {"savingsPlan/SavingsPlanARN": company.savings_plan.arn}
            covered = {
                "savingsPlan/SavingsPlanRate": str(node.hour_cost),
                "savingsPlan/SavingsPlanEffectiveCost": str(node.hour_cost),
            }
            yield _line("SavingsPlanCoveredUsage", "AmazonEC2", list_price, usage | plan | covered)
            # As nise has it, a negation names no resource and has no tags: only the day as a whole cancels.
            negation = {
                name: usage[name] for name in ("lineItem/UsageType", "lineItem/Operation", "product/regionCode")
            }
            description = {
                "lineItem/LineItemDescription": "SavingsPlanNegation used by AccountId : " + company.account_id
            }
            yield _line("SavingsPlanNegation", "AmazonEC2", -list_price, negation | plan | description)


def _reservation_use(company: Company, node: Node) -> Line:
    """Return what makes an hour a reserved one: nothing to pay now, and what it costs all the same."""
    reservation = company.reservation
    return {
        "lineItem/UnblendedRate": "0",
        "lineItem/BlendedRate": "0",
        "lineItem/NormalizationFactor": str(4 * reservation.used),
        "lineItem/NormalizedUsageAmount": str(4 * reservation.used),
        "lineItem/LineItemDescription": f"{node.instance_type.name} reserved instance applied",
        "pricing/term": "Reserved",
        "reservation/ReservationARN": reservation.arn,
        "reservation/EffectiveCost": str(node.hour_cost),
        "reservation/AmortizedUpfrontCostForUsage": str(reservation.used * reservation.upfront_hour_cost),
        "reservation/RecurringFeeForUsage": str(reservation.used * reservation.recurring_hour_cost),
    }


def _reservation_fee(company: Company, hours: int) -> Line:
    """Return the month's fee for the reservation, with the part that no instance used."""
    reservation = company.reservation
    kind = reservation.instance_type.name
    held, unused = reservation.count * hours, (reservation.count - reservation.used) * hours
    upfront, recurring = reservation.upfront_hour_cost, reservation.recurring_hour_cost
    return _line(
        "RIFee",
        "AmazonEC2",
        held * recurring,
        {
            "lineItem/UsageType": f"USE1-HeavyUsage:{kind}",
            "lineItem/Operation": "RunInstances",
            "lineItem/UsageAmount": str(held),
            "lineItem/UnblendedRate": str(recurring),
            "lineItem/LineItemDescription": f"Recurring fee of {reservation.count} {kind} reserved instances",
            "product/regionCode": company.region,
            "product/instanceType": kind,
            "pricing/unit": "Hrs",
            "reservation/ReservationARN": reservation.arn,
            "reservation/NumberOfReservations": str(reservation.count),
            "reservation/TotalReservedUnits": str(held),
            "reservation/UnusedQuantity": str(unused),
            "reservation/AmortizedUpfrontFeeForBillingPeriod": str(held * upfront),
            "reservation/UnusedAmortizedUpfrontFeeForBillingPeriod": str(unused * upfront),
            "reservation/UnusedRecurringFee": str(unused * recurring),
        },
    )


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def _rfc3339(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
