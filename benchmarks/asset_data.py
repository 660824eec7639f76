"""The in-cluster assets behind that bill: the nodes and volumes of its clusters, on the days on which they ran.

Half as many again belong to clusters whose bill is another one: 80,000 asset-days for a million lines.
"""

import ibis

from benchmarks import bill_data
from kubecost_pipelines.core.tables import ASSET_INVENTORY
from kubecost_pipelines.core.window import Window
from kubecost_pipelines.lake import Engine, Lake

ASSETS = """
SELECT day AS date, id AS provider_id, format('{}/{}/{}/{}', cluster, type, id, name) AS asset_id, *
FROM (
    SELECT unnest(range(first_hour // 24, (first_hour + hours - 1) // 24 + 1)) AS offset_days,
        DATE '2026-10-01' + offset_days::INT AS day, cluster, account, 'aws' AS provider, 'USD' AS currency,
        if(what = 'node', 'Node', 'Disk') AS type, type AS asset_type,
        if(what = 'node', 'Compute', 'Storage') AS category,
        if(what = 'node', 'i-', 'vol-') || hex || elsewhere AS id,
        if(what = 'node', 'ip-10-' || hex || '.ec2.internal', 'pvc-' || hex || elsewhere) AS name,
        if(what = 'volume', 'pvc-' || hex || elsewhere, NULL) AS volume_name,
        if(what = 'node', instance_type, NULL) AS node_type,
        MAP {'label_env': 'prod', 'label_topology_kubernetes_io_zone': zone} AS labels,
        day::TIMESTAMP::TIMESTAMPTZ AS start, 60.0 * least(hours, 24) AS minutes,
        (1 + h % 997) / 3111.0 * least(hours, 24) AS cost, cost * 0.6 AS cpu_cost, cost * 0.4 AS ram_cost
    FROM (SELECT *, unnest(if(r % 2 = 0, ['', 'e'], [''])) AS elsewhere FROM resources WHERE is_in_cluster)
)
"""


def write_inventory(lake: Lake, engine: Engine, window: Window, lines: int) -> None:
    """Write `asset_inventory` for the resources that a bill of that many lines names."""
    bill_data.create_resources(engine.con, 0, lines)
    engine.con.execute(f"CREATE TEMP TABLE assets AS {ASSETS}")
    known = engine.table("assets")
    schema = ASSET_INVENTORY.schema()
    columns = {name: known[name] if name in known.columns else ibis.null() for name in schema}
    rows = known.select("date", **{name: column.cast(schema[name]) for name, column in columns.items()})
    lake.publish(lake.stage(ASSET_INVENTORY, rows, engine), [], window.days)
