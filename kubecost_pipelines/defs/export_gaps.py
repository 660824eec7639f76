"""Gaps: the days that a cluster has and its bucket lacks, or holds in another state.

One question to the cluster for all days, and one listing per layout: no call per day while nothing has changed. Knows
neither Dagster nor the command line: both call it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from math import nan

from kubecost_pipelines.clusters import ClusterClient
from kubecost_pipelines.core.exports.keys import Layout, days_of, listing_of
from kubecost_pipelines.core.window import DAY
from kubecost_pipelines.settings import ClusterSettings, ExportSettings
from kubecost_pipelines.sinks import Bucket, ExportError, ExportIndex, Manifest


@dataclass(frozen=True)
class Gap:
    """A day to export, why, and what the cluster says that it costs; NaN where it is not to be trusted."""

    day: date
    why: str
    cluster_total: float


@dataclass(frozen=True)
class Survey:
    """What was found of one cluster: the days that it has, and the gaps among them."""

    days: tuple[date, ...]
    gaps: tuple[Gap, ...]


def retained_days(cluster: ClusterSettings, today: date) -> tuple[date, date]:
    """Return the first and last whole UTC day that the cluster's Kubecost keeps."""
    return today - cluster.retention_days * DAY, today - DAY


def find_gaps(
    client: ClusterClient,
    export: ExportSettings,
    bucket: Bucket,
    index: ExportIndex,
    today: date,
    *,
    force: bool = False,
    state_of: Callable[[date], str] | None = None,
) -> Survey:
    """Compare what a cluster has with what its bucket has.

    A file that we did not write, such as one of the exporter before us, counts as complete: nobody knows better. Totals
    that are not to be trusted (`verify_totals: false`) count for nothing. `state_of` returns the fingerprint of a day's
    rows where they lie before they are exported, or "" where they are not there: a file of another state is a gap.

    Raises:
        ClusterError: the cluster does not say which days it has.
        ExportError: the bucket cannot be listed.
    """
    cluster = client.cluster
    first, last = retained_days(cluster, today)
    totals = client.fetch_totals(first, last)
    found = [_manifests(cluster, bucket, index, layout, first) for layout in export.layouts]
    gaps = []
    for day, total in sorted(totals.items()):
        manifests = [layout.get(day, "missing") for layout in found]
        known = total if cluster.verify_totals else nan
        why = "forced" if force else _why(manifests, export, known)
        if not why and state_of:
            why = _why_other_rows(manifests, state_of, day)
        if why:
            gaps.append(Gap(day, why, known))
    return Survey(tuple(sorted(totals)), tuple(gaps))


def _manifests(
    cluster: ClusterSettings, bucket: Bucket, index: ExportIndex, layout: Layout, first: date
) -> dict[date, Manifest | ExportError | None]:
    listed = {one.key: one for one in bucket.list(*listing_of(layout, cluster.exported, cluster.name, first))}
    keys = days_of(layout, cluster.exported, cluster.name, listed)
    known = index.manifests(bucket, {key: listed[key] for key in keys.values()})
    return {day: known[key] for day, key in keys.items()}


def _why(manifests: Sequence[Manifest | ExportError | str | None], export: ExportSettings, total: float) -> str:
    for manifest in manifests:
        if isinstance(manifest, str | ExportError):
            return str(manifest)
        if manifest is None:
            continue
        if manifest.source != export.source:
            return f"it holds {manifest.source}"
        if not manifest.agrees_with(total):
            return f"the cluster says {total:.5f}, and said {manifest.cluster_total:.5f}"
    return ""


def _why_other_rows(
    manifests: Sequence[Manifest | ExportError | str | None], state_of: Callable[[date], str], day: date
) -> str:
    """Say that the lake has other rows than were exported; where it has none, there is nothing to export."""
    try:
        state = state_of(day)
    except ExportError as error:
        return str(error)
    held = [manifest.fingerprint for manifest in manifests if isinstance(manifest, Manifest)]
    return "the lake has it in another state" if state and any(one != state for one in held) else ""
