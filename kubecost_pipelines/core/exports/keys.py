"""Keys: where in a bucket the file of one cluster and day lies, in either layout, and which day a key is of."""

import re
from collections.abc import Iterable
from datetime import date
from typing import Literal

from kubecost_pipelines.core.exports.identity import ExportedCluster
from kubecost_pipelines.core.exports.native import CHILDREN

Layout = Literal["drop_in", "native"]

DROP_IN_PARTITIONS = ("account_id", "region", "year", "month")
NATIVE_PARTITIONS = ("cluster", "date")


def drop_in_folder(cluster: ExportedCluster, day: date) -> str:
    """Return the folder of a month: one partition of the drop-in table."""
    return f"account_id={cluster.account}/region={cluster.region}/year={day:%Y}/month={day:%m}"


def drop_in_key(cluster: ExportedCluster, day: date) -> str:
    """Return the key of a day in the drop-in layout."""
    return f"{drop_in_folder(cluster, day)}/{day}_{cluster.name}.snappy.parquet"


def native_key(cluster: str, day: date, table: str) -> str:
    """Return the key of a day of one table of the native layout, in a folder of its own: one object per partition."""
    return f"{native_folder(cluster, day, table)}/{table}.parquet"


def native_folder(cluster: str, day: date, table: str) -> str:
    """Return the folder of a day of one table: one partition."""
    return f"cluster={cluster}/date={day}/{table}"


def listing_of(layout: Layout, cluster: ExportedCluster, name: str, first: date) -> tuple[str, str]:
    """Return the prefix to list for a cluster's days, and the key after which `first` comes.

    Of the drop-in layout other clusters of the account and region are listed too: its keys begin with the day.
    """
    if layout == "native":
        return f"cluster={name}/", f"cluster={name}/date={first}"
    folder = drop_in_folder(cluster, first)
    return f"account_id={cluster.account}/region={cluster.region}/", f"{folder}/{first}"


def days_of(layout: Layout, cluster: ExportedCluster, name: str, keys: Iterable[str]) -> dict[date, str]:
    """Return the days whose file is among the keys: of exactly this cluster, never of one whose name is similar.

    A native day is there when the files of all of its tables are; its key is that of the allocations.
    """
    form = (
        rf"cluster={re.escape(name)}/date=(\d{{4}}-\d\d-\d\d)/allocations/allocations\.parquet"
        if layout == "native"
        else rf"account_id={re.escape(cluster.account)}/region={re.escape(cluster.region)}/year=\d{{4}}/month=\d\d/"
        rf"(\d{{4}}-\d\d-\d\d)_{re.escape(cluster.name)}\.snappy\.parquet"
    )
    there = set(keys)
    found = ((re.fullmatch(form, key), key) for key in there)
    days = {date.fromisoformat(match[1]): key for match, key in found if match}
    if layout == "drop_in":
        return days
    return {day: key for day, key in days.items() if there.issuperset(native_key(name, day, one) for one in CHILDREN)}
