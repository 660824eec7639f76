"""CUR manifests: which files make up a month's report.

AWS leaves older report versions beside the current one, so that a month's folder is never read as a whole.
A manifest is written last, when all of its files are there; its `columns` are not always those of the files
and are not used. Layouts: https://docs.aws.amazon.com/cur/latest/userguide/dataexports-export-delivery.html
"""

import json
import posixpath
from dataclasses import dataclass
from datetime import date
from typing import Any

from kubecost_pipelines.clouds import BillError
from kubecost_pipelines.clouds.exports import Export, ExportFile, find
from kubecost_pipelines.core.window import next_month


@dataclass(frozen=True)
class Manifest:
    """A month's report: where its manifest is, and its files, all on the export's filesystem."""

    path: str
    files: tuple[ExportFile, ...]


def find_manifest(export: Export, month: date) -> Manifest | None:
    """Return the manifest of `month`, or None when AWS has not delivered that month.

    Raises:
        BillError: several reports in one folder, an unreadable manifest, or a file it names that is not there.
    """
    folders = (f"{month:%Y%m%d}-{next_month(month):%Y%m%d}", f"metadata/BILLING_PERIOD={month:%Y-%m}")
    for folder in folders:
        found = [one for one in export.list_folder(f"{export.path}/{folder}") if one.name.endswith("-Manifest.json")]
        if len(found) > 1:
            names = ", ".join(one.name for one in found)
            raise BillError(
                f"{export.uri}: {folder} holds the manifests of several reports ({names}). Let `export` name the "
                f"folder of one report."
            )
        if found:
            return _read(export, found[0].path)
    export.check_root()
    return None


def _read(export: Export, path: str) -> Manifest:
    try:
        content: dict[str, Any] = json.loads(export.read_start(path))
        keys = content["reportKeys"] if "reportKeys" in content else content["dataFiles"]
    except (ValueError, KeyError) as error:
        raise BillError(
            f"{path}: not a readable CUR manifest ({type(error).__name__}: {error}). AWS rewrites it at its next "
            "delivery; if it stays so, create the export anew."
        ) from error
    paths = [_resolve(export, key) for key in keys]
    found = find(export, paths)
    if missing := [path for path in paths if path not in found]:
        raise BillError(
            f"{path} names {missing[0]}, which is not there. Wait for AWS to finish its delivery, or restore the "
            "object; the earlier partitions stay as they are."
        )
    return Manifest(path, tuple(found[path] for path in paths))


def _resolve(export: Export, key: str) -> str:
    """Return where a manifest's key lies: keys are relative to the bucket, and `export` may be a copy elsewhere.

    The longest tail of the export's path that the key starts with is what both have in common.
    """
    key = posixpath.normpath(key.removeprefix("s3://"))
    if key.startswith(("..", "/")):
        raise BillError(f"{export.uri}: the manifest names {key!r}, outside the export. Create the export anew.")
    parts = export.path.strip("/").split("/")
    for start in range(len(parts)):
        common = "/".join(parts[start:]) + "/"
        if key.startswith(common):
            return f"{export.path}/{key.removeprefix(common)}"
    # No common tail: the copy was renamed. A key holds the report's folder, then the month's.
    _, month, rest = _split_at_month(key)
    return f"{export.path}/{month}/{rest}"


def _split_at_month(key: str) -> tuple[str, str, str]:
    parts = key.split("/")
    for position, part in enumerate(parts):
        if part == "data" or (len(part) == 17 and part.replace("-", "").isdigit()):
            return "/".join(parts[:position]), part, "/".join(parts[position + 1 :])
    return "", parts[0], "/".join(parts[1:])
