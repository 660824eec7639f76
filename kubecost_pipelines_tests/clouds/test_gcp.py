"""Google Cloud's export files: what is read from where, and what a check of the connection finds."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from ibis.backends.duckdb import Backend
from pydantic import SecretStr

from kubecost_pipelines.clouds import BillError, check_connection, open_store
from kubecost_pipelines.core.connection_status import ConnectionEvent
from kubecost_pipelines.core.window import Window
from kubecost_pipelines.settings import CloudStoreSettings
from kubecost_pipelines_tests.replay import DATA
from kubecost_pipelines_tests.s3 import S3Server

TODAY = date(2026, 11, 24)


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("prepare", "event", "words"),
    [
        (write("a.csv", b"cost,currency\n1,USD\n"), ConnectionEvent.DATA, "1 file"),
        (write("a.csv", b"cost,currency\n"), ConnectionEvent.EMPTY, "no bill of the last 3 months"),
        (write("a.jsonl", b"\n"), ConnectionEvent.EMPTY, "no bill of the last 3 months"),
        (write("readme.txt", b"hello"), ConnectionEvent.EMPTY, "no bill of the last 3 months"),
        (lambda folder: folder.rmdir(), ConnectionEvent.ERROR, "there is no folder"),
        (
            lambda folder: [write(name, b"x\n1\n")(folder) for name in ("a.csv", "a.jsonl")],
            ConnectionEvent.ERROR,
            "csv and json files",
        ),
    ],
    ids=["data", "header only", "empty lines", "other files", "no folder", "two exports"],
)
def test_a_check_says_what_it_found(
    tmp_path: Path, prepare: Callable[[Path], object], event: ConnectionEvent, words: str
) -> None:
    export = tmp_path / "export"
    export.mkdir()
    prepare(export)

    found = check_connection(CloudStoreSettings(provider="gcp", id="acme", export=export.as_uri()), TODAY, tmp_path)

    assert (found.event, words in found.detail) == (event, True), found.detail


def test_gzipped_files_of_either_kind_have_data(tmp_path: Path) -> None:
    for kind in ("csv", "jsonl"):
        store = CloudStoreSettings(provider="gcp", id="acme", export=(DATA / "gcp" / kind).as_uri())

        assert check_connection(store, TODAY, tmp_path).event is ConnectionEvent.DATA


def test_the_same_export_from_s3(s3: S3Server, engine: Backend, tmp_path: Path) -> None:
    s3.client().create_bucket(Bucket="acme-gcp")
    s3.client().upload_file(str(DATA / "gcp/jsonl/202610_bigquery.jsonl.gz"), "acme-gcp", "export/october.jsonl.gz")
    access = {"endpoint": s3.endpoint, "access_key_id": "k", "secret_access_key": "s"}
    store = CloudStoreSettings.model_validate(
        {"provider": "gcp", "id": "acme-gke", "export": "s3://acme-gcp/export", **access}
    )

    bill = open_store(store, (), tmp_path).read_billing(Window.of_days(date(2026, 10, 1), date(2026, 10, 3)), engine)

    assert bill.rows is not None
    assert list(bill.inputs) == ["october.jsonl.gz"]
    assert bill.rows.line_items.sum().to_pyarrow().as_py() == 3 * 768  # nise writes 768 lines a day


def test_json_lines_of_the_standard_export_are_refused(engine: Backend, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"cost": 1, "currency": "USD", "sku": {"description": "x"}}\n')
    store = CloudStoreSettings(provider="gcp", id="acme", export=tmp_path.as_uri())

    with pytest.raises(BillError, match=r"lacks .*resource\.name"):
        open_store(store, (), tmp_path).read_billing(Window.of_day(date(2026, 10, 1)), engine)


def test_the_same_export_from_cloud_storage(gcs: str, engine: Backend, tmp_path: Path) -> None:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    client = storage.Client("acme", AnonymousCredentials(), client_options={"api_endpoint": gcs})  # type: ignore[no-untyped-call]
    bucket = client.create_bucket("acme-billing")
    bucket.blob("export/october.jsonl.gz").upload_from_filename(str(DATA / "gcp/jsonl/202610_bigquery.jsonl.gz"))
    store = CloudStoreSettings(provider="gcp", id="acme-gke", export="gs://acme-billing/export", endpoint=gcs)

    bill = open_store(store, (), tmp_path).read_billing(Window.of_days(date(2026, 10, 1), date(2026, 10, 3)), engine)
    nothing = check_connection(store.model_copy(update={"export": "gs://acme-billing/other"}), TODAY, tmp_path)
    nowhere = check_connection(store.model_copy(update={"export": "gs://nowhere-at-all/x"}), TODAY, tmp_path)

    assert bill.rows is not None
    assert list(bill.inputs) == ["october.jsonl.gz"]
    assert bill.rows.line_items.sum().to_pyarrow().as_py() == 3 * 768  # nise writes 768 lines a day
    assert check_connection(store, TODAY, tmp_path).event is ConnectionEvent.DATA
    assert nothing.event is ConnectionEvent.EMPTY
    assert (nowhere.event, "404" in nowhere.detail) == (ConnectionEvent.ERROR, True), nowhere.detail


def test_a_broken_service_account_key_is_told_without_it(tmp_path: Path) -> None:
    secret = SecretStr('{"type": "service_account", "private_key": "PLANTED-KEY"}')
    store = CloudStoreSettings(provider="gcp", id="acme", export="gs://acme/x", service_account_key=secret)

    found = check_connection(store, TODAY, tmp_path)

    assert found.event is ConnectionEvent.ERROR
    assert "service account key cannot be read" in found.detail
    assert "PLANTED" not in found.detail


def test_an_export_at_the_root_of_a_bucket(s3: S3Server, tmp_path: Path) -> None:
    s3.client().create_bucket(Bucket="acme-root")
    s3.client().put_object(Bucket="acme-root", Key="october.csv", Body=b"cost,currency\n1,USD\n")
    access = {"endpoint": s3.endpoint, "access_key_id": "k", "secret_access_key": "s"}
    store = {"provider": "gcp", "id": "acme", "export": "s3://acme-root", **access}

    found = check_connection(CloudStoreSettings.model_validate(store), TODAY, tmp_path)

    assert (found.event, found.detail) == (ConnectionEvent.DATA, "s3://acme-root: 1 file")
