"""Google Cloud's export files: what a check of the connection finds."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from kubecost_pipelines.clouds import check_connection
from kubecost_pipelines.core.connection_status import ConnectionEvent
from kubecost_pipelines.settings import CloudStoreSettings
from kubecost_pipelines_tests.replay import DATA

TODAY = date(2026, 11, 24)


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("prepare", "event", "words"),
    [
        (write("a.csv", b"cost,currency\n1,USD\n"), ConnectionEvent.DATA, "1 files"),
        (write("a.csv", b"cost,currency\n"), ConnectionEvent.EMPTY, "no export files with rows"),
        (write("a.jsonl", b"\n"), ConnectionEvent.EMPTY, "no export files with rows"),
        (write("readme.txt", b"hello"), ConnectionEvent.EMPTY, "no export files with rows"),
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
