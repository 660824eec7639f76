"""Rebuild and repair without a server: the plan's run in this process, recorded in $DAGSTER_HOME."""

import os
from collections.abc import Sequence
from datetime import date

import dagster as dg

from kubecost_pipelines.core.tables import TABLES
from kubecost_pipelines.operations.errors import BackfillFailedError, NoDagsterError
from kubecost_pipelines.operations.pipelines import Graph, Node, Plan


def graph_of(definitions: dg.Definitions) -> Graph:
    """Return the daily assets of definitions, as a webserver would give them."""
    ours = {table.name for table in TABLES}
    specs = [spec for spec in definitions.resolve_all_asset_specs() if spec.partitions_def and spec.key.path[0] in ours]
    days: Sequence[date] = []
    if specs and specs[0].partitions_def:
        days = [date.fromisoformat(key) for key in specs[0].partitions_def.get_partition_keys()]
    return Graph([Node(tuple(spec.key.path), spec.tags) for spec in specs], days)


def run_locally(definitions: dg.Definitions, plan: Plan) -> str:
    """Run the plan to its end and return the id of the run.

    No queue stands between this run and those of a daemon on the same instance: use it where none runs.

    Raises:
        NoDagsterError: DAGSTER_HOME is not set, so the run could not be recorded.
        BackfillFailedError: a step failed; what was written before stays.
    """
    if not os.environ.get("DAGSTER_HOME"):
        raise NoDagsterError(
            "DAGSTER_HOME is not set, and the run would be forgotten. Let it name a folder with a copy of dagster.yaml."
        )
    with dg.DagsterInstance.get() as instance:
        result = dg.materialize(
            [asset for asset in definitions.assets or [] if isinstance(asset, dg.AssetsDefinition)],
            instance=instance,
            resources=definitions.resources,
            selection=[dg.AssetKey(key) for key in plan.keys],
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags={
                **plan.tags,
                "dagster/asset_partition_range_start": str(plan.days[0]),
                "dagster/asset_partition_range_end": str(plan.days[-1]),
            },
            raise_on_error=False,
        )
    if not result.success:
        errors = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
        raise BackfillFailedError(
            f"run {result.run_id} failed: {'; '.join(str((e.cause or e).message).strip() for e in errors if e)} "
            "What was written stays; repair the days that failed."
        )
    return result.run_id
