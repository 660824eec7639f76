"""Pools: the limit of `dagster.yaml` holds from the first run on.

Dagster's queue looks up which pools have a limit, and only then gives the default to those of which it hears for the
first time: of the runs that it finds in that pass, none would wait for another. So each tick tells it all pools.
"""

import dagster as dg


def limit_pools(context: dg.SensorEvaluationContext | dg.ScheduleEvaluationContext) -> None:
    """Give the default limit to each pool of the deployment that has none yet."""
    instance, repository = context.instance, context.repository_def
    if repository is None or instance.global_op_concurrency_default_limit is None:
        return
    storage = instance.event_log_storage
    pools = {pool for asset in repository.assets_defs_by_key.values() for pool in asset.node_def.pools}
    for pool in sorted(pools - {known.name for known in storage.get_pool_limits()}):
        storage.initialize_concurrency_limit_to_default(pool)
