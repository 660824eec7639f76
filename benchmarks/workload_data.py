"""A day of a cluster to measure with: its allocations and its assets, as the lake holds them, 50 workloads a node."""

import json
from pathlib import Path

from kubecost_pipelines.core.tables import ASSET_COSTS, Table
from kubecost_pipelines.lake import Engine
from kubecost_pipelines.lake.lake import METADATA_KEY

CLUSTER = "prod-1"
PER_NODE = 50
"""1,000,000 allocations against 20,000 nodes."""

_WORKLOADS = """
    'ip-10-0-' || n // {per_node} || '.ec2.internal' AS node, 'namespace-' || n // 900 AS namespace,
    'app-' || n // 40 AS controller, 'deployment' AS controller_kind, 'server' AS container,
    'app-' || n // 40 || '-' || substr(md5(n::VARCHAR), 1, 10) || '-' || n % 40 AS pod,
    '{cluster}/' || node || '/' || namespace || '/' || pod || '/server' AS name,
    'i-' || lpad(printf('%x', n // {per_node}), 17, '0') AS provider_id,
    ['app-' || n // 40, 'app-' || n // 40 || '-headless'] AS services,
    MAP {{'app': 'app-' || n // 40, 'team': 'team-' || n % 20, 'app_kubernetes_io_name': 'app-' || n // 40,
         'app_kubernetes_io_instance': 'release-' || n // 400, 'helm_sh_chart': 'chart-' || n % 7,
         'pod_template_hash': substr(md5((n // 40)::VARCHAR), 1, 10)}} AS labels,
    MAP {{'checksum_config': md5((n // 40)::VARCHAR) || md5((n // 41)::VARCHAR), 'prometheus_io_scrape': 'true',
         'prometheus_io_port': (9000 + n % 50)::VARCHAR,
         'kubectl_kubernetes_io_restartedAt': '2026-10-0' || 1 + n % 5 || 'T10:00:00Z'}} AS annotations,
    TIMESTAMPTZ '2026-10-05 00:00:00+00' AS start, TIMESTAMPTZ '2026-10-06 00:00:00+00' AS "end", 1440.0 AS minutes,
    hash(n, 1) % 100000 / 100000 AS cpu_core_hours, (hash(n, 2) % 100000) * 40000.0 AS ram_byte_hours,
    hash(n, 3) % 100000 / 100000 AS cpu_cost, hash(n, 4) % 100000 / 100000 AS ram_cost,
    (hash(n, 5) % 100000)::DOUBLE AS network_transfer_bytes, (hash(n, 6) % 100000)::DOUBLE AS network_receive_bytes,
    cpu_core_hours / 24 AS cpu_cores, ram_byte_hours / 24 AS ram_bytes, 0.5 AS cpu_efficiency, 0.5 AS ram_efficiency,
    CASE WHEN n % 12 = 0 THEN [{{name: 'pvc-' || n, provider_id: 'vol-' || n, byte_hours: 2.5e11, cost: 0.1}}]
         ELSE [] END AS pvs,
    CASE WHEN n % 30 = 0 THEN [{{name: '{cluster}/' || namespace || '/' || controller,
                                 service: namespace || '/' || controller, ip: controller || '.elb', is_private: false,
                                 hours: 24.0, cost: 0.02}}]
         ELSE [] END AS load_balancers
"""

_ASSETS = """
    SELECT 'Node' AS asset_type, '{cluster}/Node/' || n AS asset_id, 'ip-10-0-' || n || '.ec2.internal' AS name,
           'i-' || lpad(printf('%x', n), 17, '0') AS provider_id, 96.0 AS cpu_core_hours, 4e11 AS ram_byte_hours,
           3.0 AS cpu_cost, 1.5 AS ram_cost, 0.0 AS gpu_cost, 0.1 AS discount, NULL AS byte_hours, NULL AS volume_name,
           4.05 AS cost, 3.0 + n % 10 / 10 AS total_cost
    FROM range({nodes}) AS nodes (n)
    UNION ALL
    SELECT 'Network', '{cluster}/Node/' || n || '/network', 'ip-10-0-' || n || '.ec2.internal',
           'i-' || lpad(printf('%x', n), 17, '0'), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0.0, 0.12
    FROM range({nodes}) AS nodes (n)
    UNION ALL
    SELECT 'Disk', '{cluster}/Disk/' || n, 'pvc-' || n, 'vol-' || n, NULL, NULL, NULL, NULL, NULL, NULL, 2.6e11,
           'pvc-' || n, 0.1, 0.08
    FROM range(0, {rows}, 12) AS disks (n)
    UNION ALL
    SELECT 'LoadBalancer', '{cluster}/LoadBalancer/' || n, 'namespace-' || n * 40 // 900 || '/app-' || n,
           'app-' || n || '.elb', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0.6, 0.5
    FROM range({rows} // 40) AS balancers (n)
"""


_TYPES = {"string": "VARCHAR", "float64": "DOUBLE", "boolean": "BOOLEAN", "int64": "BIGINT"}
_CONSTANTS = {
    "cluster": f"'{CLUSTER}'",
    "currency": "'USD'",
    "minutes": "1440.0",
    "is_settled": "true",
    "is_reconciled": "true",
    "cost_basis": "'billed'",
}


def write(table: Table, engine: Engine, rows: int, file: Path) -> None:
    """Write a day's file of `allocations`, or of `asset_costs` with the assets that so many allocations use."""
    made = _WORKLOADS.format(cluster=CLUSTER, per_node=PER_NODE)
    query = f"SELECT n, {made} FROM range({rows}) AS workloads (n)"
    if table is ASSET_COSTS:
        query = _ASSETS.format(cluster=CLUSTER, nodes=rows // PER_NODE, rows=rows)
    given = {row[0] for row in engine.con.execute(f"DESCRIBE ({query})").fetchall()}
    columns = []
    for name, type_ in table.schema().items():
        value = f'"{name}"' if name in given else _CONSTANTS.get(name, "0.0" if type_.is_float64() else "NULL")
        columns.append(
            f'({value})::{_TYPES[str(type_)]} AS "{name}"' if str(type_) in _TYPES else f'{value} AS "{name}"'
        )
    metadata = json.dumps({"rows": rows, "sums": {}, "inputs": {}, "version": "bench"})
    options = f"FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{METADATA_KEY}: '{metadata}'}}"
    engine.con.execute(f"COPY (SELECT {', '.join(columns)} FROM ({query})) TO '{file}' ({options})").fetchall()
