"""Lake files: which days of which table a store is made from, and what tells that one has changed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from pyarrow import fs

from kubecost_pipelines.core import serving, tables
from kubecost_pipelines.settings.locations import Location

FILE_NAME = "data.parquet"

STORED_IN = {
    tables.RECONCILED_ALLOCATIONS.name: serving.ALLOCATIONS,
    tables.ALLOCATIONS.name: serving.ALLOCATIONS,
    tables.RECONCILED_ALLOCATIONS_HOURLY.name: serving.HOURS,
    tables.ASSET_COSTS.name: serving.ASSETS,
    tables.CLOUD_BILLING.name: serving.CLOUD_COSTS,
    tables.CLOUD_ASSETS.name: serving.OUT_OF_CLUSTER,
    tables.CONNECTION_STATUS.name: serving.CONNECTIONS,
}
"""Table of the lake -> table of the store. Allocations count only where they are not reconciled yet."""

Identity = tuple[str, str, date]
"""Table of the store, key, day."""


@dataclass(frozen=True)
class LakeFile:
    """One day of one key of one table, and what tells whether it changed."""

    table: str
    key: str
    day: date
    path: str
    fingerprint: str

    @property
    def identity(self) -> Identity:
        return STORED_IN[self.table], self.key, self.day


def list_files(lake: Location) -> dict[Identity, LakeFile]:
    """Return the files that a store of the lake is made from."""
    return _without_old_hours(_preferred(file for table in STORED_IN for file in _files_of(table, lake)))


def _files_of(table: str, lake: Location) -> Iterable[LakeFile]:
    selector = fs.FileSelector(f"{lake.path}/{table}", allow_not_found=True, recursive=True)
    for info in lake.filesystem.get_file_info(selector):
        if info.type == fs.FileType.File and info.base_name == FILE_NAME:
            *key, day = info.path.removeprefix(f"{lake.path}/{table}/").split("/")[:-1]
            written = f"{info.path} {info.size} {info.mtime_ns}"
            yield LakeFile(table, "/".join(key), date.fromisoformat(day.removeprefix("date=")), info.path, written)


def _preferred(files: Iterable[LakeFile]) -> dict[Identity, LakeFile]:
    """Return one file per day: the reconciled one where there is one."""
    order = list(STORED_IN)
    ranked = sorted(files, key=lambda file: order.index(file.table), reverse=True)
    return {file.identity: file for file in ranked}


def _without_old_hours(files: dict[Identity, LakeFile]) -> dict[Identity, LakeFile]:
    """Return the files without hours of other days than the newest ones."""
    days = [day for stored_in, _, day in files if stored_in == serving.HOURS]
    if not days:
        return files
    first = serving.first_hourly_day(max(days))
    return {identity: file for identity, file in files.items() if identity[0] != serving.HOURS or identity[2] >= first}
