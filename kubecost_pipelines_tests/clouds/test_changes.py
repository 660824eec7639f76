"""What has changed on a bill: a cheap answer while nothing has, and the days that differ when something has."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from ibis.backends.duckdb import Backend

from kubecost_pipelines.clouds import CloudStore, open_store
from kubecost_pipelines.clouds.aws import AwsStore
from kubecost_pipelines.core.bill_changes import Answer
from kubecost_pipelines.core.window import Window
from kubecost_pipelines.settings import CloudStoreSettings
from kubecost_pipelines_tests.growing_bill import GrowingBill
from kubecost_pipelines_tests.replay import DATA
from kubecost_pipelines_tests.s3 import S3Server
from kubecost_pipelines_tests.servers import ACCOUNT, ACCOUNT_KEY, BlobServer

OCTOBER = Window.of_days(date(2026, 10, 1), date(2026, 10, 31))
NO_LIMIT = 1 << 40
DAY_2, DAY_3 = date(2026, 10, 2), date(2026, 10, 3)


@pytest.fixture
def bill(tmp_path: Path) -> GrowingBill:
    growing = GrowingBill(tmp_path / "cur")
    growing.lines = [line for line in growing.lines if line["lineItem/UsageStartDate"][:10] <= "2026-10-03"]
    return growing


def ask(store: CloudStore, engine: Backend, since: str = "", limit: int = NO_LIMIT) -> Answer:
    return store.changes(OCTOBER, since, engine, limit)


@pytest.fixture
def store(bill: GrowingBill, tmp_path: Path) -> CloudStore:
    return open_store(
        CloudStoreSettings(provider="aws", id="111122223333", export=bill.folder.as_uri()), ("team",), tmp_path
    )


def test_only_the_restated_day_has_another_digest(bill: GrowingBill, store: CloudStore, engine: Backend) -> None:
    bill.deliver(DAY_3)
    first = ask(store, engine)
    bill.change(DAY_2, lambda line: line.update({"lineItem/UnblendedCost": "1"}))
    bill.deliver(DAY_3)

    second = ask(store, engine, first.fingerprint)

    assert first.days is not None
    assert second.days is not None
    assert [day.day for day in sorted(first.days)] == [1, 2, 3]
    assert {day for day in first.days if first.days[day] != second.days[day]} == {DAY_2}


def test_the_same_bill_in_other_files_and_another_order_has_the_same_days(
    bill: GrowingBill, store: CloudStore, engine: Backend
) -> None:
    bill.deliver(DAY_3)
    first = ask(store, engine)
    bill.lines.reverse()
    bill.deliver(DAY_3)

    second = ask(store, engine, first.fingerprint)

    assert second.fingerprint != first.fingerprint
    assert second.days == first.days


def test_a_finalised_copy_differs_in_its_invoices_alone(bill: GrowingBill, store: CloudStore, engine: Backend) -> None:
    bill.deliver(DAY_3)
    first = ask(store, engine)
    for line in bill.lines:
        line["bill/InvoiceId"] = "2026-1001"
    bill.deliver(DAY_3)

    second = ask(store, engine, first.fingerprint)

    assert first.days is not None
    assert second.days is not None
    assert {day: replace(one, invoice="") for day, one in first.days.items()} == {
        day: replace(one, invoice="") for day, one in second.days.items()
    }
    assert all(second.days[day].invoice != one.invoice for day, one in first.days.items())


def test_an_unchanged_month_is_not_read(
    bill: GrowingBill, store: CloudStore, engine: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    bill.deliver(DAY_3)
    first = ask(store, engine)
    monkeypatch.setattr(AwsStore, "_normalise", None)  # reading would fail

    assert ask(store, engine, first.fingerprint) == Answer(first.fingerprint)


def test_a_month_above_the_limit_is_answered_without_days_and_says_so(
    bill: GrowingBill, store: CloudStore, engine: Backend
) -> None:
    bill.deliver(DAY_3)

    answer = ask(store, engine, limit=10)

    assert answer.days is None
    assert answer.fingerprint
    assert "more than `digest_megabytes`: all days are read again" in answer.note


def test_a_month_that_nobody_delivered_has_no_day(bill: GrowingBill, store: CloudStore, engine: Backend) -> None:
    bill.folder.mkdir(exist_ok=True)

    assert ask(store, engine) == Answer("", {})


def test_etags_tell_a_new_delivery_in_s3(bill: GrowingBill, engine: Backend, tmp_path: Path, s3: S3Server) -> None:
    s3.client().create_bucket(Bucket="changing")
    access = {"access_key_id": "k", "secret_access_key": "s", "region": "us-east-1", "endpoint": s3.endpoint}
    in_s3 = CloudStoreSettings.model_validate(
        {"provider": "aws", "id": "111122223333", "export": "s3://changing/cur", **access}
    )
    store = open_store(in_s3, (), tmp_path)

    def upload() -> None:
        for file in bill.folder.rglob("*.*"):
            s3.client().upload_file(str(file), "changing", str(file.relative_to(bill.folder.parent)))

    bill.deliver(DAY_2)
    upload()
    first = ask(store, engine)
    same = ask(store, engine, first.fingerprint)
    bill.deliver(DAY_3)
    upload()
    second = ask(store, engine, first.fingerprint)

    assert same.days is None
    assert second.days is not None
    assert set(second.days) - set(first.days or {}) == {DAY_3}


@pytest.mark.parametrize(
    "settings",
    [
        CloudStoreSettings(provider="gcp", id="acme-gke", export=(DATA / "gcp/csv").as_uri()),
        CloudStoreSettings(provider="azure", id="a-b", export=(DATA / "azure/subscription").as_uri()),
    ],
    ids=["gcp", "azure"],
)
def test_the_other_providers_tell_their_days_too(settings: CloudStoreSettings, engine: Backend, tmp_path: Path) -> None:
    store = open_store(settings, (), tmp_path)

    first = ask(store, engine)

    assert [day.day for day in sorted(first.days or {})] == list(range(1, 32))
    assert ask(store, engine, first.fingerprint).days is None
    assert ask(store, engine) == first


BILL_OF_AZURE = gzip.decompress(
    next((DATA / "azure/subscription/acme-amortized/20261001-20261031").iterdir()).read_bytes()
)
CORRECTED = BILL_OF_AZURE.replace(b",2026-10-02,", b",2026-10-03,", 1)
"""The same size: one line is of another day."""
Put = Callable[[bytes], object]


@pytest.fixture(params=["a folder", "Blob Storage", "Cloud Storage"])
def overwritten(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[CloudStoreSettings, Put]:
    """A bill in one file, and what overwrites it."""
    key = "cost/20261001-20261031/a.csv"
    if request.param == "a folder":
        file = tmp_path / key
        file.parent.mkdir(parents=True)
        return CloudStoreSettings(provider="azure", id="a-b", export=(tmp_path / "cost").as_uri()), file.write_bytes
    if request.param == "Blob Storage":
        blobs: BlobServer = request.getfixturevalue("blobs")
        container = blobs.container("overwritten")
        where = f"abfss://overwritten@{ACCOUNT}.dfs.core.windows.net/cost"
        access = {"endpoint": blobs.endpoint, "account_key": ACCOUNT_KEY}
        settings = CloudStoreSettings.model_validate({"provider": "azure", "id": "a-b", "export": where, **access})
        return settings, partial(container.upload_blob, key, overwrite=True)
    address: str = request.getfixturevalue("gcs")
    client = storage.Client("acme", AnonymousCredentials(), client_options={"api_endpoint": address})  # type: ignore[no-untyped-call]
    blob = client.create_bucket("overwritten").blob(key)
    settings = CloudStoreSettings(provider="azure", id="a-b", export="gs://overwritten/cost", endpoint=address)
    return settings, blob.upload_from_string


def test_a_file_of_the_same_name_and_size_is_noticed_and_tells_its_days(
    overwritten: tuple[CloudStoreSettings, Put], engine: Backend, tmp_path: Path
) -> None:
    settings, put = overwritten
    put(BILL_OF_AZURE)
    store = open_store(settings, (), tmp_path)
    first = ask(store, engine)
    assert ask(store, engine, first.fingerprint).days is None

    put(CORRECTED)
    second = ask(store, engine, first.fingerprint)

    assert len(CORRECTED) == len(BILL_OF_AZURE)
    assert first.days is not None
    assert second.days is not None
    assert {day for day in first.days if first.days[day] != second.days[day]} == {DAY_2, DAY_3}
