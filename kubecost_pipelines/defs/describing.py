"""Describing: what every asset tells the UI about itself, from the table it writes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any

import dagster as dg

from kubecost_pipelines.core.expectations import Expectation
from kubecost_pipelines.core.provider_key import slug_of
from kubecost_pipelines.core.tables import Column, Table, label_column
from kubecost_pipelines.defs.automation import follows_its_sources
from kubecost_pipelines.defs.keys import asset_key
from kubecost_pipelines.defs.reporting import Materialized
from kubecost_pipelines.settings import CloudStoreSettings, ClusterSettings, Settings

CODE_VERSION = "1"
"""Raised when the same inputs would give other rows."""


def utc_days(settings: Settings) -> dg.DailyPartitionsDefinition:
    """Return the partitions of every daily asset: one UTC day each, from the first day to cover."""
    return dg.DailyPartitionsDefinition(start_date=settings.start_date.isoformat(), timezone="UTC")


def daily_asset(
    settings: Settings,
    table: Table,
    parts: Sequence[str],
    *,
    deps: Mapping[str, Sequence[dg.AssetKey]],
    group: str,
    of: str = "",
    tags: Mapping[str, str] | None = None,
    kinds: set[str] | None = None,
    pool: str | None = None,
    fresh_within: timedelta = timedelta(hours=36),
    check_specs: Sequence[dg.AssetCheckSpec] = (),
    path: str | None = None,
) -> Callable[[Callable[..., Materialized]], dg.AssetsDefinition]:
    """Return `@dg.asset` as it stands over every daily asset: one table, one key, UTC days.

    Args:
        settings: the deployment.
        table: what it writes.
        parts: the key parts after the table's name.
        deps: table name -> the upstream assets that hold it; column lineage follows from the table's columns.
        group: group in the UI.
        of: whose it is, for people.
        tags: `provider`, `provider_key`, `cluster`.
        kinds: badges in the UI besides `parquet`.
        pool: pool that limits how many runs ask one provider or cluster at a time; without one, the asset has its
            own, so that two runs never write one day at a time.
        fresh_within: age after which the asset is late.
        check_specs: the checks that its body reports.
        path: where it writes, if not into the lake.
    """
    return dg.asset(
        key=asset_key(table, *parts),
        partitions_def=utc_days(settings),
        deps=[key for keys in deps.values() for key in keys],
        group_name=group,
        tags=dict(tags or {}),
        kinds={"parquet", *(kinds or {"duckdb"})},
        owners=list(settings.owners),
        description="\n\n".join(filter(None, (of, table.description, f"Grain: {table.grain}."))),
        metadata={
            "dagster/column_schema": column_schema(table, settings),
            "dagster/column_lineage": _lineage(table, deps),
            "dagster/table_name": ".".join([table.name, *parts]),
            "path": path or "/".join([settings.lake, table.name, *parts, "date=<day>", "data.parquet"]),
        },
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=fresh_within),
        backfill_policy=dg.BackfillPolicy.single_run(),
        automation_condition=follows_its_sources() if any(deps.values()) else None,
        code_version=CODE_VERSION,
        pool=pool or slug_of("_".join([table.name, *parts])),
        check_specs=list(check_specs),
    )


def of_bill(store: CloudStoreSettings) -> dict[str, Any]:
    """Return group, tags and whose it is of what belongs to one bill."""
    key = store.key
    return {"group": key.slug, "tags": {"provider": key.provider, "provider_key": key.id}, "of": store.title}


def of_cluster(cluster: ClusterSettings) -> dict[str, Any]:
    """Return group and tags of what belongs to one cluster."""
    return {"group": f"cluster_{cluster.slug}", "tags": {"cluster": cluster.name}, "of": cluster.name}


def check_spec(key: dg.AssetKey, expectation: Expectation) -> dg.AssetCheckSpec:
    """Return the declaration of an expectation as a check of the asset."""
    return dg.AssetCheckSpec(expectation.name, asset=key, description=expectation.description)


def column_schema(table: Table, settings: Settings) -> dg.TableSchema:
    """Return the columns as the UI shows them; a table with the bill's tags has one more per label key."""
    return _column_schema(table, tuple(settings.label_keys) if table.has_label_columns else ())


@cache
def _column_schema(table: Table, label_keys: Sequence[str]) -> dg.TableSchema:
    labels = [Column(label_column(key), "string", f"Value of the tag `{key}`") for key in label_keys]
    return dg.TableSchema(
        columns=[
            dg.TableColumn(column.name, column.type, description=_words(column)) for column in (*table.columns, *labels)
        ]
    )


def _words(column: Column) -> str:
    return f"{column.description} [{column.unit}]" if column.unit else column.description


def _lineage(table: Table, deps: Mapping[str, Sequence[dg.AssetKey]]) -> dg.TableColumnLineage:
    by_column = {
        column.name: [d for source in column.sources for d in _column_deps(source, deps)] for column in table.columns
    }
    return dg.TableColumnLineage({name: found for name, found in by_column.items() if found})


def _column_deps(source: str, deps: Mapping[str, Sequence[dg.AssetKey]]) -> list[dg.TableColumnDep]:
    table, _, column = source.partition(".")
    return [dg.TableColumnDep(asset_key=key, column_name=column) for key in deps.get(table, ())] if column else []
