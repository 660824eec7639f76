"""A bill to measure with: a month of a legacy Cost and Usage Report, as AWS lays it out.

A million lines name 36,000 resources: few run all month, most about a day, half of them on each side of a midnight.
Eight lines make a daily row (sixteen in the bill that koku-nise writes; 24 where everything runs all day). Lines come
hour by hour, and within an hour in no order.
"""

import json
from datetime import date
from pathlib import Path

import duckdb

from kubecost_pipelines.core.bills.aws_cur import canonical_name

MONTH, LAST_DAY = date(2026, 10, 1), date(2026, 10, 31)
PAYER = "111122223333"
LABEL_KEYS = ("team", "env", "app")
REPORT = "cur"
RESOURCES_PER_MILLION_LINES = 36_000

RESOURCES = """
SELECT r, (hash(r) >> 2)::BIGINT AS h, r % 100 AS kind,
    CASE WHEN r % 199 = 7 THEN 744 WHEN r % 20 = 3 THEN 24 ELSE 12 + h % 25 END AS hours,
    (h // 7) % (744 - hours + 1) AS first_hour,
    CASE WHEN kind < 30 THEN 'node' WHEN kind < 73 THEN 'volume' WHEN kind < 78 THEN 'balancer'
        WHEN kind < 83 THEN 'bucket' WHEN kind < 88 THEN 'database' WHEN kind < 99 THEN 'function' ELSE 'fee' END
        AS what,
    format('{:012d}', 200000000000 + (h // 11) % 12) AS account,
    format('{:017x}', r * 2654435761 + 1152921504606) AS hex,
    r % 73 < 70 AND kind < 73 AS is_in_cluster,
    'prod-' || (h // 13) % 8 AS cluster,
    (['us-east-1a', 'us-east-1b', 'us-east-1c'])[1 + h % 3] AS zone,
    (['m5.large', 'm5.xlarge', 'c6i.2xlarge', 'r6g.4xlarge'])[1 + h % 4] AS instance_type
FROM (SELECT unnest(range(getvariable('first_id'), getvariable('end_id'))) AS r)
"""
"""Seven of ten resources are nodes and volumes of Kubernetes clusters."""

LINES = """
SELECT *, TIMESTAMP '2026-10-01' + to_hours((first_hour + k)::INT) AS start,
    CASE what WHEN 'node' THEN 'AmazonEC2' WHEN 'volume' THEN 'AmazonEC2' WHEN 'balancer' THEN 'AWSELB'
        WHEN 'bucket' THEN 'AmazonS3' WHEN 'database' THEN 'AmazonRDS' WHEN 'function' THEN 'AWSLambda'
        ELSE 'ComputeSavingsPlans' END AS service,
    CASE WHEN what = 'fee' THEN (['SavingsPlanRecurringFee', 'RIFee', 'Tax', 'Credit'])[1 + h % 4]
        WHEN r % 4 = 1 AND k % 2 = 1 THEN 'EdpDiscount'
        WHEN what = 'node' AND k % 4 < 3 AND kind % 10 IN (5, 6) THEN 'DiscountedUsage'
        WHEN what = 'node' AND k % 4 < 3 AND kind % 10 > 6
            THEN if(k % 2 = 0, 'SavingsPlanCoveredUsage', 'SavingsPlanNegation')
        ELSE 'Usage' END AS type,
    CASE what WHEN 'node' THEN CASE WHEN k % 4 = 3 THEN 'USE1-DataTransfer-Regional-Bytes'
            WHEN kind % 10 = 4 THEN 'USE1-SpotUsage:' || instance_type ELSE 'USE1-BoxUsage:' || instance_type END
        WHEN 'volume' THEN 'USE1-EBS:VolumeUsage.gp3' WHEN 'balancer' THEN 'USE1-LoadBalancerUsage'
        WHEN 'bucket' THEN (['USE1-TimedStorage-ByteHrs', 'USE1-Requests-Tier1'])[1 + k % 2]
        WHEN 'database' THEN 'USE1-InstanceUsage:db.r6g.large'
        WHEN 'function' THEN (['USE1-Lambda-GB-Second', 'USE1-Request'])[1 + k % 2] ELSE 'ComputeSP:1yrNoUpfront' END
        AS usage_type,
    CASE what WHEN 'node' THEN 'i-' || hex WHEN 'volume' THEN 'vol-' || hex WHEN 'bucket' THEN 'bucket-' || hex
        WHEN 'balancer' THEN 'arn:aws:elasticloadbalancing:us-east-1:' || account || ':loadbalancer/net/lb/' || hex
        WHEN 'database' THEN 'arn:aws:rds:us-east-1:' || account || ':db:db-' || hex
        WHEN 'function' THEN 'arn:aws:lambda:us-east-1:' || account || ':function:fn-' || hex ELSE '' END AS resource,
    round((1 + h % 997) / 3111.0, 10) AS rate, round(0.1 + (hash(r, k) % 1000) / 1007.0, 10) AS amount,
    round(rate * amount * if(type IN ('SavingsPlanNegation', 'EdpDiscount', 'Credit'), -1, 1), 10) AS cost
FROM (SELECT *, unnest(range(hours)) AS k FROM resources)
ORDER BY start, hash(r, k)
"""

FILLED = {
    "identity/LineItemId": "md5(format('{}/{}', r, k))",
    "identity/TimeInterval": "strftime(start, '%Y-%m-%dT%H:%M:%SZ/') "
    "|| strftime(start + INTERVAL 1 HOUR, '%Y-%m-%dT%H:%M:%SZ')",
    "bill/BillingEntity": "'AWS'",
    "bill/BillType": "'Anniversary'",
    "bill/PayerAccountId": f"'{PAYER}'",
    "bill/BillingPeriodStartDate": "TIMESTAMP '2026-10-01'",
    "bill/BillingPeriodEndDate": "TIMESTAMP '2026-11-01'",
    "lineItem/UsageAccountId": "account",
    "lineItem/LineItemType": "type",
    "lineItem/UsageStartDate": "start",
    "lineItem/UsageEndDate": "start + INTERVAL 1 HOUR",
    "lineItem/ProductCode": "service",
    "lineItem/UsageType": "usage_type",
    "lineItem/Operation": "if(what = 'node', 'RunInstances', 'CreateVolume-Gp3')",
    "lineItem/AvailabilityZone": "if(what IN ('node', 'volume'), zone, '')",
    "lineItem/ResourceId": "resource",
    "lineItem/UsageAmount": "amount",
    "lineItem/NormalizationFactor": "if(what = 'node', 4.0, 0.0)",
    "lineItem/NormalizedUsageAmount": "if(what = 'node', 4 * amount, 0.0)",
    "lineItem/CurrencyCode": "'USD'",
    "lineItem/UnblendedRate": "rate::VARCHAR",
    "lineItem/UnblendedCost": "cost",
    "lineItem/BlendedRate": "rate::VARCHAR",
    "lineItem/BlendedCost": "cost",
    "lineItem/LineItemDescription": "format('${} per {} in US East (N. Virginia)', rate, usage_type)",
    "lineItem/LegalEntity": "'Amazon Web Services, Inc.'",
    "lineItem/NetUnblendedRate": "(0.93 * rate)::VARCHAR",
    "lineItem/NetUnblendedCost": "if(type = 'EdpDiscount', 0, round(0.93 * cost, 10))",
    "product/ProductName": "service",
    "product/instanceType": "if(what = 'node', instance_type, '')",
    "product/instanceFamily": "if(what = 'node', 'General purpose', '')",
    "product/location": "'US East (N. Virginia)'",
    "product/locationType": "'AWS Region'",
    "product/operatingSystem": "if(what = 'node', 'Linux', '')",
    "product/productFamily": "if(what = 'node', 'Compute Instance', 'Storage')",
    "product/region": "'us-east-1'",
    "product/regionCode": "'us-east-1'",
    "product/servicecode": "service",
    "product/sku": "upper(md5(usage_type)[:16])",
    "product/tenancy": "if(what = 'node', 'Shared', '')",
    "product/usagetype": "usage_type",
    "product/vcpu": "if(what = 'node', '4', '')",
    "pricing/publicOnDemandCost": "if(type IN ('EdpDiscount', 'SavingsPlanNegation'), 0, round(1.02 * cost, 10))",
    "pricing/publicOnDemandRate": "(1.02 * rate)::VARCHAR",
    "pricing/RateCode": "upper(md5(usage_type)[:16]) || '.JRTCKXETXF.6YS6EN2CT7'",
    "pricing/RateId": "(h % 100000)::VARCHAR",
    "pricing/currency": "'USD'",
    "pricing/term": "if(type = 'DiscountedUsage', 'Reserved', 'OnDemand')",
    "pricing/unit": "if(what = 'node', 'Hrs', 'GB-Mo')",
    "reservation/ReservationARN": "if(type IN ('DiscountedUsage', 'RIFee'), "
    "format('arn:aws:ec2:us-east-1:{}:reserved-instances/{}', account, md5(account)), '')",
    "reservation/EffectiveCost": "if(type = 'DiscountedUsage', round(0.6 * cost, 10), 0.0)",
    "reservation/NetEffectiveCost": "if(type = 'DiscountedUsage', round(0.56 * cost, 10), 0.0)",
    "reservation/UnusedAmortizedUpfrontFeeForBillingPeriod": "if(type = 'RIFee', 0.5, 0.0)",
    "reservation/NetUnusedAmortizedUpfrontFeeForBillingPeriod": "if(type = 'RIFee', 0.45, 0.0)",
    "reservation/UnusedRecurringFee": "if(type = 'RIFee', 0.25, 0.0)",
    "reservation/NetUnusedRecurringFee": "if(type = 'RIFee', 0.2, 0.0)",
    "savingsPlan/SavingsPlanARN": "if(type LIKE 'SavingsPlan%', "
    "format('arn:aws:savingsplans::{}:savingsplan/{}', account, md5(account)), '')",
    "savingsPlan/SavingsPlanRate": "if(type = 'SavingsPlanCoveredUsage', 0.7 * rate, 0.0)",
    "savingsPlan/SavingsPlanEffectiveCost": "if(type = 'SavingsPlanCoveredUsage', round(0.7 * cost, 10), 0.0)",
    "savingsPlan/NetSavingsPlanEffectiveCost": "if(type = 'SavingsPlanCoveredUsage', round(0.66 * cost, 10), 0.0)",
    "savingsPlan/TotalCommitmentToDate": "if(type = 'SavingsPlanRecurringFee', 12.5, 0.0)",
    "savingsPlan/UsedCommitment": "if(type = 'SavingsPlanRecurringFee', 11.75, 0.0)",
    "savingsPlan/OfferingType": "if(type LIKE 'SavingsPlan%', 'ComputeSavingsPlans', '')",
    "resourceTags/user:team": "if(h % 5 < 3, 'team-' || h % 23, '')",
    "resourceTags/user:env": "if(h % 5 < 4, (['prod', 'staging', 'dev'])[1 + h % 3], '')",
    "resourceTags/user:app": "if(h % 5 < 3, 'app-' || h % 211, '')",
    "resourceTags/user:Name": "if(h % 3 = 0, what || '-' || hex, '')",
    "resourceTags/aws:eks:cluster-name": "if(is_in_cluster AND what = 'node', cluster, '')",
    "resourceTags/user:kubernetes.io/created-for/pv/name": "if(is_in_cluster AND what = 'volume', 'pvc-' || hex, '')",
}
"""Column -> SQL: what the lines of this bill say."""

TAGS = tuple(name for name in FILLED if name.startswith("resourceTags/") and not name.endswith("Name"))
"""The tags that the pipeline keeps."""

_EMPTY = {
    "bill": "InvoiceId InvoicingEntity",
    "lineItem": "TaxType",
    "product": "availability capacitystatus currentGeneration databaseEngine dedicatedEbsThroughput "
    "deploymentOption durability ecu engineCode enhancedNetworkingSupported fromLocation fromLocationType "
    "fromRegionCode group groupDescription licenseModel maxIopsvolume maxThroughputvolume maxVolumeSize "
    "memory networkPerformance normalizationSizeFactor operation processorArchitecture "
    "servicename storageClass storageMedia toLocation toLocationType toRegionCode transferType volumeType",
    "pricing": "LeaseContractLength OfferingClass PurchaseOption",
    "reservation": "AvailabilityZone EndTime ModificationStatus NumberOfReservations StartTime SubscriptionId "
    "UnitsPerReservation",
    "savingsPlan": "EndTime PaymentOption PurchaseTerm Region StartTime",
    "resourceTags": "user:cost-center user:owner",
}
COLUMNS = FILLED | {f"{group}/{name}": "''" for group, names in _EMPTY.items() for name in names.split()}


def write_parquet_export(folder: Path, lines: int, files: int) -> None:
    """Write the month as Parquet for Athena, costs as doubles: so many files, each of so many lines."""
    columns = ", ".join(f"{sql} AS {canonical_name(name)}" for name, sql in COLUMNS.items())
    keys = []
    for number in range(files):
        file = folder / f"year=2026/month=10/{REPORT}-{number + 1:05d}.snappy.parquet"
        _write_lines(file, columns, "FORMAT parquet, COMPRESSION snappy", number, lines)
        keys.append(f"{folder.name}/{file.relative_to(folder)}")
    _write_manifest(folder, keys)


def write_csv_export(folder: Path, lines: int) -> None:
    """Write the lines of the first file as a gzipped CSV, with the names that AWS gives the columns there."""
    times = {name: sql for name, sql in COLUMNS.items() if name.endswith(("StartDate", "EndDate"))}
    texts = {name: f"strftime({sql}, '%Y-%m-%dT%H:%M:%SZ')" for name, sql in times.items()}
    columns = ", ".join(f'{sql} AS "{name}"' for name, sql in (COLUMNS | texts).items())
    file = folder / f"20261001-20261101/11111111-2222-3333-4444-555555555555/{REPORT}-00001.csv.gz"
    _write_lines(file, columns, "FORMAT csv, HEADER, COMPRESSION gzip", 0, lines)
    _write_manifest(folder, [f"{folder.name}/{file.relative_to(folder)}"])


def create_resources(engine: duckdb.DuckDBPyConnection, number: int, lines: int) -> None:
    """Create the temporary table `resources`: those that the lines of one file are about."""
    count = RESOURCES_PER_MILLION_LINES * lines // 1_000_000
    engine.execute(f"SET VARIABLE first_id = {number * count}; SET VARIABLE end_id = {(number + 1) * count}")
    engine.execute(f"CREATE TEMP TABLE resources AS {RESOURCES}")


def _write_lines(file: Path, columns: str, options: str, number: int, lines: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as engine:
        create_resources(engine, number, lines)
        engine.execute(f"CREATE TABLE lines AS {LINES}")
        engine.execute(f"COPY (SELECT {columns} FROM lines) TO '{file}' ({options})")


def _write_manifest(folder: Path, keys: list[str]) -> None:
    manifest = folder / f"20261001-20261101/{REPORT}-Manifest.json"
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({"reportName": REPORT, "reportKeys": keys}, indent=1))
