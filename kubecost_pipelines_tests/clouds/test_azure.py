"""Azure's export as it lies about: what is read, what a check finds, and what a broken one says."""

import json
import os
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from ibis.backends.duckdb import Backend

from kubecost_pipelines.clouds import Bill, BillError, check_connection, open_store
from kubecost_pipelines.core.connection_status import ConnectionEvent
from kubecost_pipelines.core.window import Window
from kubecost_pipelines.settings import CloudStoreSettings
from kubecost_pipelines_tests.replay import DATA
from kubecost_pipelines_tests.servers import ACCOUNT, ACCOUNT_KEY, BlobServer

TODAY = date(2026, 11, 1)
OCTOBER = Window.of_days(date(2026, 10, 1), date(2026, 10, 31))
MONTH = "20261001-20261031"
REPORT = next((DATA / "azure/subscription/acme-amortized" / MONTH).iterdir())
WRONG_KEY = "d3Jvbmcta2V5LXdyb25nLWtleQ=="


def store(export: str, **access: Any) -> CloudStoreSettings:
    return CloudStoreSettings(provider="azure", id="sub-1", export=export, **access)


def put(path: Path, content: bytes = b"") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content or REPORT.read_bytes())


def put_all(paths: Iterable[Path]) -> None:
    for path in paths:
        put(path)


def put_manifest(folder: Path, *parts: str) -> None:
    put(folder / "_manifest.json", json.dumps({"blobs": [{"blobName": f"a/{part}"} for part in parts]}).encode())


@pytest.mark.parametrize(
    ("prepare", "event", "words"),
    [
        (lambda root: put(root / MONTH / "a.csv.gz"), ConnectionEvent.DATA, "1 file"),
        (lambda root: put(root / "daily" / MONTH / "a.csv.gz"), ConnectionEvent.DATA, "1 file"),
        (lambda root: put(root / MONTH / "a.csv", b"Date,Tags\n"), ConnectionEvent.EMPTY, "no bill of the last"),
        (lambda root: None, ConnectionEvent.EMPTY, "no bill of the last"),
        (lambda root: root.rmdir(), ConnectionEvent.ERROR, "there is no folder"),
        (
            lambda root: put_all(root / name / MONTH / "a.csv.gz" for name in ("actual", "amortized")),
            ConnectionEvent.ERROR,
            "several exports (actual, amortized)",
        ),
        (
            lambda root: put_all(root / name for name in ("actual.csv.gz", "amortized.csv.gz")),
            ConnectionEvent.ERROR,
            "several exports (actual.csv.gz, amortized.csv.gz)",
        ),
        (lambda root: put_manifest(root / MONTH / "r", "p.csv"), ConnectionEvent.ERROR, "p.csv, which is not there"),
        (
            lambda root: put(root / MONTH / "r/_manifest.json", b"{"),
            ConnectionEvent.ERROR,
            "not a readable manifest",
        ),
    ],
    ids=["data", "one export below", "header only", "nothing", "no folder", "two exports", "two files", "half a run",
         "bad manifest"],
)  # fmt: skip
def test_a_check_says_what_it_found(
    tmp_path: Path, prepare: Callable[[Path], object], event: ConnectionEvent, words: str
) -> None:
    root = tmp_path / "export"
    root.mkdir()
    prepare(root)

    found = check_connection(store(root.as_uri()), TODAY, tmp_path)

    assert (found.event, words in found.detail) == (event, True), found.detail


def test_the_newest_file_of_a_month_is_the_bill(engine: Backend, tmp_path: Path) -> None:
    newest, older = tmp_path / MONTH / "a.csv.gz", tmp_path / MONTH / "z.csv.gz"
    put(newest)
    put(older)
    os.utime(older, (1e9, 1e9))

    bill = open_store(store(tmp_path.as_uri()), (), tmp_path).read_billing(OCTOBER, engine)

    assert bill.rows is not None
    assert list(bill.inputs) == [f"{MONTH}/a.csv.gz"]
    assert bill.rows.line_items.sum().to_pyarrow().as_py() == 992  # lines of nise's file


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"Date,Cost\n2026-10-01,1\n", "lacks subscriptionid, metercategory, instanceid, tags, additionalinfo"),
        (b"a,b\n1,2,3,4\n" * 9, "cannot be read|lacks"),
        (REPORT.read_bytes()[:5000], "cannot be read"),
        (REPORT.read_bytes()[:50], "cannot be read"),
        (b"\x1f\x8b<html>", "cannot be read"),
        (b"\n", "cannot be read|lacks"),
    ],
    ids=["other columns", "no table", "cut off", "cut off in its header", "not compressed", "nothing"],
)
def test_a_broken_file_is_told_with_its_cure(engine: Backend, tmp_path: Path, content: bytes, words: str) -> None:
    put(tmp_path / MONTH / ("a.csv.gz" if content[:2] == b"\x1f\x8b" else "a.csv"), content)

    with pytest.raises(BillError) as error:
        open_store(store(tmp_path.as_uri()), (), tmp_path).read_billing(OCTOBER, engine)
    assert any(word in str(error.value) for word in words.split("|"))


@pytest.mark.parametrize(
    "part",
    [
        b"subscriptionId,date,meterCategory,resourceId,tags,additionalInfo,cost\ns,2026-10-05,Storage,/x,{},{},1.5\n",
        b"\n",
    ],
    ids=["other case", "empty"],
)
def test_parts_that_differ_are_not_read_as_less_cost(engine: Backend, tmp_path: Path, part: bytes) -> None:
    folder = tmp_path / MONTH / "run"
    put_manifest(folder, "1.csv", "2.csv")
    put(folder / "1.csv", b"SubscriptionId,Date,MeterCategory,ResourceId,Tags,AdditionalInfo,Cost\n")
    put(folder / "2.csv", part)

    with pytest.raises(BillError, match=r"other columns than one another|cannot be read"):
        open_store(store(tmp_path.as_uri()), (), tmp_path).read_billing(OCTOBER, engine)


@pytest.fixture
def container(blobs: BlobServer, request: pytest.FixtureRequest) -> Any:
    name = f"c{abs(hash(request.node.nodeid))}"
    client = blobs.container(name)
    client.upload_blob(f"cost/daily/{MONTH}/run/a.csv.gz", REPORT.read_bytes())
    return client


def sas(container: Any, *, expires_in: timedelta = timedelta(hours=1)) -> str:
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    return generate_container_sas(
        ACCOUNT,
        container.container_name,
        ACCOUNT_KEY,
        permission=ContainerSasPermissions(read=True, list=True),
        expiry=datetime.now(UTC) + expires_in,
    )


def test_every_way_into_a_container(blobs: BlobServer, container: Any, tmp_path: Path) -> None:
    def check(
        path: str = "cost/daily", name: str = container.container_name, **access: str
    ) -> tuple[ConnectionEvent, str]:
        uri = f"abfss://{name}@{ACCOUNT}.dfs.core.windows.net/{path}"
        found = check_connection(store(uri, endpoint=blobs.endpoint, **access), TODAY, tmp_path)
        assert not any(secret in found.detail for secret in access.values()), found.detail
        return found.event, found.detail

    good = [
        check(account_key=ACCOUNT_KEY),
        check(sas_token=sas(container)),
        check(sas_token="?" + sas(container)),
        check("cost", account_key=ACCOUNT_KEY),
    ]
    wrong_key = check(account_key=WRONG_KEY)
    expired = check(sas_token=sas(container, expires_in=timedelta(hours=-1)))
    elsewhere = check(name="nowhere", account_key=ACCOUNT_KEY)
    empty = check("other", account_key=ACCOUNT_KEY)

    assert {event for event, _ in good} == {ConnectionEvent.DATA}
    assert empty[0] is ConnectionEvent.EMPTY
    for (event, detail), word in ((wrong_key, "account_key"), (expired, "sas_token"), (elsewhere, "ContainerNotFound")):
        assert (event, word in detail) == (ConnectionEvent.ERROR, True), detail


def test_a_container_without_its_account_says_how_to_write_it(tmp_path: Path) -> None:
    found = check_connection(store("abfss://exports/cost"), TODAY, tmp_path)

    assert found.event is ConnectionEvent.ERROR
    assert "abfss://<container>@<account>" in found.detail


def test_an_unreachable_account_is_told_in_seconds(tmp_path: Path) -> None:
    settings = store(
        f"abfss://e@{ACCOUNT}.dfs.core.windows.net/", endpoint="http://127.0.0.1:9/x", account_key=ACCOUNT_KEY
    )

    found = check_connection(settings, TODAY, tmp_path)

    assert found.event is ConnectionEvent.ERROR
    assert "reaches it" in found.detail


def test_a_bill_in_a_container(blobs: BlobServer, container: Any, engine: Backend, tmp_path: Path) -> None:
    uri = f"abfss://{container.container_name}@{ACCOUNT}.dfs.core.windows.net/cost/daily"
    settings = store(uri, endpoint=blobs.endpoint, account_key=ACCOUNT_KEY)

    bill = open_store(settings, (), tmp_path).read_billing(OCTOBER, engine)

    assert bill.rows is not None
    assert bill.rows.line_items.sum().to_pyarrow().as_py() == 992


@pytest.mark.parametrize("before", [50, 30_000], ids=["early", "late"])
def test_a_row_with_too_few_fields_is_not_read_as_less_cost(engine: Backend, tmp_path: Path, before: int) -> None:
    header = "SubscriptionId,Date,MeterCategory,ResourceId,Tags,AdditionalInfo,CostInBillingCurrency"
    rows = ["s,2026-10-05,Storage,/x,{},{},1.5"] * before + ["s,2026-10-05,Storage"]
    put(tmp_path / MONTH / "a.csv", "\n".join([header, *rows]).encode())

    with pytest.raises((BillError, duckdb.Error), match=r"cannot be read|Expected Number of Columns"):
        _read_all(open_store(store(tmp_path.as_uri()), (), tmp_path).read_billing(OCTOBER, engine))


def _read_all(bill: Bill) -> None:
    assert bill.rows is not None
    bill.rows.to_pyarrow()
