"""AWS bills as AWS lays them out: through the manifest, from a folder and from S3, whole and broken."""

import gzip
import json
import os
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ibis.backends.duckdb import Backend

from kubecost_pipelines.clouds import Bill, BillError, open_store
from kubecost_pipelines.core.bills.aws_cur import canonical_name
from kubecost_pipelines.core.tables import CLOUD_BILLING
from kubecost_pipelines.core.window import Window
from kubecost_pipelines.defs.cloud_billing import BILL_IS_PRESENT
from kubecost_pipelines.lake import Lake
from kubecost_pipelines.settings import CloudStoreSettings
from kubecost_pipelines.settings.locations import locate
from kubecost_pipelines_tests.core.test_aws_lines import line
from kubecost_pipelines_tests.s3 import S3Server

OCTOBER = Window.of_days(date(2026, 10, 1), date(2026, 10, 31))
MONTH = "20261001-20261101"


def store(export: str, **options: Any) -> CloudStoreSettings:
    return CloudStoreSettings(provider="aws", id="111122223333", export=export, **options)


def csv_gz(lines: list[dict[str, str]]) -> bytes:
    names = list(dict.fromkeys(name for one in lines for name in one))
    rows = [names, *([one.get(name, "") for name in names] for one in lines)]
    return gzip.compress("\n".join(",".join(f'"{cell}"' for cell in row) for row in rows).encode())


def put(root: Path, key: str, content: bytes) -> None:
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def put_report(root: Path, lines: list[dict[str, str]], *, assembly: str = "a1", **manifest: Any) -> None:
    """Write a legacy report under `root`, the bucket, in `bills/cur`."""
    key = f"bills/cur/{MONTH}/{assembly}/cur-00001.csv.gz"
    put(root, key, csv_gz(lines))
    body = json.dumps(
        {"assemblyId": assembly, "reportKeys": [key], "columns": [{"category": "x", "name": "Y"}], **manifest}
    )
    put(root, f"bills/cur/{MONTH}/cur-Manifest.json", body.encode())
    put(root, f"bills/cur/{MONTH}/{assembly}/cur-Manifest.json", body.encode())


def read(settings: CloudStoreSettings, engine: Backend, scratch: Path, window: Window = OCTOBER) -> Bill:
    return open_store(settings, (), scratch).read_billing(window, engine)


def billed(bill: Bill) -> Decimal:
    assert bill.rows is not None
    return Decimal(str(bill.rows.billed_cost.sum().to_pyarrow().as_py()))


def test_only_the_report_that_the_manifest_names_counts(engine: Backend, tmp_path: Path) -> None:
    put_report(tmp_path, [line("Usage", "1")], assembly="old")
    put_report(tmp_path, [line("Usage", "2")], assembly="new")

    bill = read(store((tmp_path / "bills/cur").as_uri()), engine, tmp_path)

    assert billed(bill) == 2
    assert list(bill.inputs) == [f"{MONTH}/new/cur-00001.csv.gz"]


def test_a_report_in_several_files_is_one_bill(engine: Backend, tmp_path: Path) -> None:
    keys = [f"bills/cur/{MONTH}/a1/cur-0000{n}.csv.gz" for n in (1, 2)]
    put_report(tmp_path, [line("Usage", "1")], reportKeys=keys)
    put(tmp_path, keys[1], csv_gz([line("Usage", "2") | {"resourceTags/user:team": "web"}]))

    assert billed(read(store((tmp_path / "bills/cur").as_uri()), engine, tmp_path)) == 3


@pytest.mark.parametrize("folder", ["elsewhere/copy-of-cur", "bills/cur", "cur"])
def test_keys_are_relative_to_the_bucket_wherever_the_folder_was_copied(
    engine: Backend, tmp_path: Path, folder: str
) -> None:
    put_report(tmp_path / "bucket", [line("Usage", "4")])
    copy = tmp_path / folder
    copy.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "bucket/bills/cur").rename(copy)

    assert billed(read(store(copy.as_uri()), engine, tmp_path)) == 4


def test_a_month_that_aws_has_not_delivered_is_no_bill_yet(engine: Backend, tmp_path: Path) -> None:
    put_report(tmp_path, [line("Usage", "1")])
    november = Window.of_day(date(2026, 11, 2))

    bill = read(store((tmp_path / "bills/cur").as_uri()), engine, tmp_path, november)

    assert bill.rows is None
    assert "2026-11" in bill.missing


def test_a_report_with_a_header_only_is_a_bill_without_rows(engine: Backend, tmp_path: Path) -> None:
    put_report(tmp_path, [line("Usage", "1")])
    put(
        tmp_path, f"bills/cur/{MONTH}/a1/cur-00001.csv.gz", gzip.compress(",".join(line("Usage", "1")).encode() + b"\n")
    )

    bill = read(store((tmp_path / "bills/cur").as_uri()), engine, tmp_path)

    assert bill.rows is not None
    assert bill.rows.count().to_pyarrow().as_py() == 0


def typed(lines: list[dict[str, str]]) -> pa.Table:
    """Return the lines as AWS writes them in Parquet: canonical names, doubles and timestamps."""
    table = pa.Table.from_pylist([{canonical_name(name): value for name, value in one.items()} for one in lines])
    for name, kind in {"line_item_unblended_cost": pa.float64(), "line_item_usage_amount": pa.float64()}.items():
        table = table.set_column(table.column_names.index(name), name, table.column(name).cast(kind))
    start = table.column("line_item_usage_start_date").cast(pa.timestamp("ms", "UTC")).cast(pa.timestamp("ms"))
    return table.set_column(table.column_names.index("line_item_usage_start_date"), "line_item_usage_start_date", start)


def test_legacy_parquet_lies_in_folders_by_year_and_month(engine: Backend, tmp_path: Path) -> None:
    key = "bills/cur/cur/year=2026/month=10/cur-00001.snappy.parquet"
    put_report(tmp_path, [line("Usage", "9")], reportKeys=[key], contentType="Parquet")
    (tmp_path / key).parent.mkdir(parents=True)
    pq.write_table(typed([line("Usage", "0.1382"), line("Tax", "0.02", lineItem__ResourceId="")]), tmp_path / key)

    assert billed(read(store((tmp_path / "bills/cur").as_uri()), engine, tmp_path)) == Decimal("0.1582")


@pytest.mark.parametrize("prefix", ["s3://bucket/", ""])
def test_cur_2_lies_in_data_and_metadata_by_billing_period(engine: Backend, tmp_path: Path, prefix: str) -> None:
    data = "exports/cur2/data/BILLING_PERIOD=2026-10/cur2-00001.snappy.parquet"
    bucket = tmp_path / "bucket"
    (bucket / data).parent.mkdir(parents=True)
    pq.write_table(typed([line("Usage", "3.5")]), bucket / data)
    manifest = json.dumps({"dataFiles": [prefix + data]}).encode()
    put(bucket, "exports/cur2/metadata/BILLING_PERIOD=2026-10/cur2-Manifest.json", manifest)

    assert billed(read(store((bucket / "exports/cur2").as_uri()), engine, tmp_path)) == Decimal("3.5")


def test_a_day_in_the_middle_of_the_month_reads_only_its_lines(engine: Backend, tmp_path: Path) -> None:
    lines = [line("Usage", str(n), lineItem__UsageStartDate=f"2026-10-{n:02}T05:00:00Z") for n in range(1, 32)]
    put_report(tmp_path, lines)

    for day in (1, 17, 31):
        window = Window.of_day(date(2026, 10, day))
        assert billed(read(store((tmp_path / "bills/cur").as_uri()), engine, tmp_path, window)) == day


def test_the_same_bill_from_s3(s3: S3Server, engine: Backend, tmp_path: Path) -> None:
    put_report(tmp_path / "bucket", [line("Usage", "7")])
    client = s3.client()
    client.create_bucket(Bucket="acme-billing")
    for path in (tmp_path / "bucket").rglob("*.*"):
        client.upload_file(str(path), "acme-billing", str(path.relative_to(tmp_path / "bucket")))
    access = {"endpoint": s3.endpoint, "access_key_id": "k", "secret_access_key": "s"}

    bill = read(store("s3://acme-billing/bills/cur", **access), engine, tmp_path)

    assert billed(bill) == 7
    assert list(bill.inputs) == [f"{MONTH}/a1/cur-00001.csv.gz"]


def test_a_bucket_that_is_not_there_is_an_error_with_the_cure(s3: S3Server, engine: Backend, tmp_path: Path) -> None:
    access = {"endpoint": s3.endpoint, "access_key_id": "k", "secret_access_key": "hush"}

    with pytest.raises(BillError, match=r"no-such-bucket.*Check the address") as error:
        read(store("s3://no-such-bucket/cur", **access), engine, tmp_path)

    assert "hush" not in str(error.value)


def break_nothing(_: Path) -> None: ...


def truncate(root: Path) -> None:
    path = root / f"bills/cur/{MONTH}/a1/cur-00001.csv.gz"
    path.write_bytes(path.read_bytes()[:-9])


def remove(root: Path) -> None:
    (root / f"bills/cur/{MONTH}/a1/cur-00001.csv.gz").unlink()


def replace_by_html(root: Path) -> None:
    put(root, f"bills/cur/{MONTH}/cur-Manifest.json", b"<html>")


def drop_columns(root: Path) -> None:
    put(root, f"bills/cur/{MONTH}/a1/cur-00001.csv.gz", gzip.compress(b"a,b\n1,2\n"))


def write_words(root: Path) -> None:
    put(root, f"bills/cur/{MONTH}/a1/cur-00001.csv.gz", csv_gz([line("Usage", "twelve")]))


def add_a_second_report(root: Path) -> None:
    put(root, f"bills/cur/{MONTH}/other-Manifest.json", b'{"reportKeys": []}')


def escape(root: Path) -> None:
    put(root, f"bills/cur/{MONTH}/cur-Manifest.json", b'{"reportKeys": ["../../etc/passwd"]}')


@pytest.mark.parametrize(
    ("harm", "words", "cure"),
    [
        (truncate, "GZIP", "copy it again"),
        (remove, "is not there", "restore the object"),
        (replace_by_html, "not a readable CUR manifest", "create the export anew"),
        (drop_columns, "it lacks bill_payer_account_id", "INCLUDE RESOURCE IDS"),
        (write_words, "twelve", "wait for the next delivery"),
        (add_a_second_report, "several reports", "the folder of one report"),
        (escape, "outside the export", "Create the export anew"),
    ],
)
def test_a_broken_delivery_is_an_error_with_the_cure_and_the_lake_keeps_its_day(
    engine: Backend, tmp_path: Path, harm: Any, words: str, cure: str, dagster_run: Any
) -> None:
    put_report(tmp_path, [line("Usage", "5")])
    run = dagster_run(cloud_stores=[store((tmp_path / "bills/cur").as_uri())], days=("2026-10-05", "2026-10-05"))
    assert run("cloud_billing/aws/111122223333").success
    harm(tmp_path)

    result = run("cloud_billing/aws/111122223333")

    assert not result.success
    assert words in result.error
    assert cure in result.error
    assert "Traceback" not in result.description
    kept = Lake(locate(run.settings.lake), tmp_path).describe(CLOUD_BILLING, ("aws", "111122223333"), date(2026, 10, 5))
    assert kept is not None
    assert kept.sums["billed_cost"] == 5


def test_a_bill_that_has_gone_does_not_empty_the_lake(tmp_path: Path, dagster_run: Any) -> None:
    put_report(tmp_path, [line("Usage", "5")])
    run = dagster_run(cloud_stores=[store((tmp_path / "bills/cur").as_uri())], days=("2026-10-05", "2026-10-06"))
    assert run("cloud_billing/aws/111122223333").success
    put_report(tmp_path, [line("Usage", "5", lineItem__UsageStartDate="2026-10-06T00:00:00Z")])

    result = run("cloud_billing/aws/111122223333")

    assert not result.success
    assert "2026-10-05" in result.error
    assert "the lake's days stay" in result.error


def test_a_day_without_a_bill_is_a_failed_check(tmp_path: Path, dagster_run: Any) -> None:
    put_report(tmp_path, [line("Usage", "5")])
    run = dagster_run(cloud_stores=[store((tmp_path / "bills/cur").as_uri())], days=("2026-10-05", "2026-11-02"))

    result = run("cloud_billing/aws/111122223333")

    assert result.success
    assert not result.checks[BILL_IS_PRESENT.name]
    assert os.environ.get("AWS_SECRET_ACCESS_KEY", "") not in ("hush",)


def test_a_focus_export_is_read_as_it_is(engine: Backend, tmp_path: Path) -> None:
    """Data Exports lays FOCUS out as it does CUR 2.0."""
    table = pa.table(
        {
            "BillingAccountId": ["111122223333"] * 2,
            "BillingCurrency": ["USD"] * 2,
            "BillingPeriodStart": [datetime(2026, 10, 1, tzinfo=UTC)] * 2,
            "ChargePeriodStart": [datetime(2026, 10, 5, hour, tzinfo=UTC) for hour in (3, 23)],
            "ChargeCategory": ["Usage"] * 2,
            "ServiceName": ["Amazon Elastic Compute Cloud"] * 2,
            "ResourceId": ["i-1"] * 2,
            "ListCost": [2.0, 2.0],
            "ContractedCost": [2.0, 2.0],
            "BilledCost": [0.0, 0.0],
            "EffectiveCost": [1.25, 1.25],
            "Tags": pa.array([[("team", "web")]] * 2, pa.map_(pa.string(), pa.string())),
            "x_ServiceCode": ["AmazonEC2"] * 2,
            "x_UsageType": ["BoxUsage:m5.large"] * 2,
        }
    )
    data = tmp_path / "exports/focus/data/BILLING_PERIOD=2026-10/focus-00001.snappy.parquet"
    data.parent.mkdir(parents=True)
    pq.write_table(table, data)
    manifest = {"dataFiles": ["s3://bucket/exports/focus/data/BILLING_PERIOD=2026-10/focus-00001.snappy.parquet"]}
    put(tmp_path, "exports/focus/metadata/BILLING_PERIOD=2026-10/focus-Manifest.json", json.dumps(manifest).encode())

    bill = open_store(store((tmp_path / "exports/focus").as_uri()), ("team",), tmp_path).read_billing(OCTOBER, engine)

    assert bill.rows is not None
    [row] = bill.rows.to_pyarrow().to_pylist()
    assert (row["billed_cost"], row["effective_cost"], row["line_items"]) == (0, Decimal("2.5"), 2)
    assert (row["provider_id"], row["category"], row["label_team"]) == ("i-1", "Compute", "web")
