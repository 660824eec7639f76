"""Requests: runs over consecutive days, and whether those of the last tick still work."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date

import dagster as dg

from kubecost_pipelines.core.bill_changes import consecutive

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def unfinished_run(instance: dg.DagsterInstance, tag: str, value: str) -> str | None:
    """Return a run with this tag that has not ended, if there is one."""
    runs = instance.get_runs(dg.RunsFilter(tags={tag: value}, statuses=UNFINISHED), limit=1)
    return runs[0].run_id if runs else None


def range_tags(days: Sequence[date]) -> dict[str, str]:
    """Return the tags of a run that writes consecutive days."""
    return {
        "dagster/asset_partition_range_start": str(min(days)),
        "dagster/asset_partition_range_end": str(max(days)),
    }


def request_days(wanted: Mapping[dg.AssetKey, Iterable[date]], tick: str) -> Iterator[dg.RunRequest]:
    """Yield one request per run of consecutive days and the assets that want exactly these, the newest first."""
    by_days: dict[tuple[date, date], list[dg.AssetKey]] = {}
    for key, days in wanted.items():
        for run in consecutive(days):
            by_days.setdefault((run[0], run[-1]), []).append(key)
    for (first, last), keys in sorted(by_days.items(), reverse=True):
        names = ",".join(key.to_user_string() for key in keys)
        yield dg.RunRequest(
            run_key=f"{tick}:{first}:{last}:{names}", asset_selection=keys, tags=range_tags([first, last])
        )
