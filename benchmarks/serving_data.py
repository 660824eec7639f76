"""A lake of a year to serve: 20,000 allocations a day of four clusters, and their nodes.

Every day is the same one, linked.
"""

from datetime import date, timedelta
from pathlib import Path

import duckdb

CLUSTERS, ROWS_PER_CLUSTER, DAYS = 4, 5_000, 365
FIRST = date(2025, 10, 1)
LAST = FIRST + timedelta(days=DAYS - 1)
LABEL_KEYS = ("team", "env", "app")

_COSTS = ("cpu", "ram", "network", "load_balancer", "pv")


def write_lake(lake: Path) -> None:
    """Write `reconciled_allocations` of every cluster and day, and `asset_costs`, unless they are there."""
    for number in range(CLUSTERS):
        _write_year(lake / "reconciled_allocations" / f"cluster-{number}", _allocations(number))
    _write_year(lake / "asset_costs", _nodes())


def _write_year(folder: Path, day_of_rows: str) -> None:
    if (folder / f"date={LAST}" / "data.parquet").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    template = folder / "day.parquet"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"COPY ({day_of_rows}) TO '{template}' (FORMAT parquet, COMPRESSION zstd)")
    for day in (FIRST + timedelta(days=at) for at in range(DAYS)):
        path = folder / f"date={day}" / "data.parquet"
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.hardlink_to(template)


def _nodes() -> str:
    return f"""
        SELECT 'cluster-' || c AS cluster, 'Node' AS asset_type, 'cluster-' || c || '/Node/' || n AS asset_id,
            'node-' || n AS name, 'i-' || n AS provider_id, 4.05::DOUBLE AS cost, n % 10 / 10 - 1.05 AS adjustment,
            cost + adjustment AS total_cost, true AS is_reconciled, true AS is_settled, 'billed' AS cost_basis,
            'provider_id' AS match_rule, 'USD' AS currency
        FROM range({CLUSTERS}) AS clusters (c), range({ROWS_PER_CLUSTER // 25}) AS nodes (n)
    """


def _allocations(seed: int) -> str:
    cluster = f"cluster-{seed}"
    costs = ", ".join(
        f"round((hash(i, {seed}, '{name}') % 100000) / 50000.0, 5)::DOUBLE AS {name}_cost, "
        f"((hash(i, {seed}, '{name}') % 100) / 1000.0 - 0.05)::DOUBLE AS {name}_cost_adjustment"
        for name in _COSTS
    )
    adjusted = " + ".join(f"{name}_cost + {name}_cost_adjustment" for name in _COSTS)
    return f"""
        WITH plain AS (
            SELECT '{cluster}' AS cluster, 'node-' || (i // 25) AS node, 'namespace-' || (i // 100) AS namespace,
                'pod-' || i AS pod, 'server' AS container, 'app-' || (i // 20) AS controller,
                'deployment' AS controller_kind, 'i-' || (i // 25) AS provider_id, ['app-' || (i // 20)] AS services,
                MAP {{'team': 'team-' || (i // 250), 'env': CASE WHEN i % 3 = 0 THEN 'dev' ELSE 'prod' END,
                     'app': 'app-' || (i // 20)}} AS labels,
                TIMESTAMPTZ '2025-10-01 00:00:00+00' AS start, TIMESTAMPTZ '2025-10-02 00:00:00+00' AS "end",
                1440.0::DOUBLE AS minutes, 0.5::DOUBLE AS cpu_core_request_average,
                0.2::DOUBLE AS cpu_core_usage_average, 12.0::DOUBLE AS cpu_core_hours, {costs},
                'USD' AS currency, CASE WHEN i % 50 = 0 THEN 'idle' ELSE 'workload' END AS allocation_type,
                true AS is_reconciled, true AS is_settled, 'billed' AS cost_basis
            FROM range({ROWS_PER_CLUSTER}) AS numbers(i))
        SELECT *, '{cluster}/' || node || '/' || namespace || '/' || pod AS name, {adjusted} AS total_cost FROM plain
    """
