"""Findings: the questions that the demo answers from the lake's Parquet, as anyone could ask them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A table for the terminal: title, DuckDB query (`{lake}` is the lake's folder) and what to note."""

    title: str
    query: str
    note: str


_ASSET_COSTS = "read_parquet('{lake}/asset_costs/*/data.parquet', hive_partitioning=true)"
_ALLOCATIONS = "read_parquet('{lake}/reconciled_allocations/*/*/data.parquet', hive_partitioning=true)"
_CLOUD_ASSETS = "read_parquet('{lake}/cloud_assets/*/*/*/data.parquet', hive_partitioning=true)"
_BILLING = "read_parquet('{lake}/cloud_billing/*/*/*/data.parquet')"
_RECONCILED = "read_parquet('{lake}/reconciled_assets/*/*/*/data.parquet')"

FINDINGS = (
    Finding(
        "Cost per cluster",
        f"""
        SELECT cluster, if(is_settled, 'settled', 'provisional') AS state, count(DISTINCT date) AS days,
               sum(cost) AS estimated, sum(adjustment) AS adjustment, sum(total_cost) AS total
        FROM {_ASSET_COSTS} GROUP BY ALL ORDER BY ALL
        """,
        "A day is settled 48 hours after it ends; until then a node costs what it did on its last settled days.",
    ),
    Finding(
        "Adjustments by asset type, settled days",
        f"""
        SELECT asset_type, sum(cost) AS estimated, sum(adjustment) AS adjustment, sum(total_cost) AS total
        FROM {_ASSET_COSTS} WHERE is_settled GROUP BY ALL ORDER BY total DESC
        """,
        "Network is a node's data transfer: the cluster does not see it, the bill reveals it.",
    ),
    Finding(
        "Nodes of prod-eks-1, last settled day",
        f"""
        WITH settled AS (FROM {_ASSET_COSTS} WHERE is_settled AND asset_type = 'Node' AND cluster = 'prod-eks-1')
        SELECT split_part(name, '.', 1) AS node, cost AS estimated, adjustment, total_cost AS total,
               coalesce(match_rule, 'not on the bill') AS matched_by
        FROM settled WHERE date = (SELECT max(date) FROM settled) ORDER BY provider_id
        """,
        "…-12 is reserved, …-13 on a Savings Plan, …-14 is spot, and …-15 the bill does not know.",
    ),
    Finding(
        "Namespaces of prod-eks-1",
        f"""
        SELECT namespace, sum(total_cost - external_cost - adjustment) AS estimated, sum(adjustment) AS adjustment,
               sum(total_cost - external_cost) AS in_cluster, sum(external_cost) AS external, sum(total_cost) AS total
        FROM (SELECT *, cpu_cost_adjustment + ram_cost_adjustment + gpu_cost_adjustment + pv_cost_adjustment
                        + network_cost_adjustment + load_balancer_cost_adjustment AS adjustment FROM {_ALLOCATIONS})
        WHERE cluster = 'prod-eks-1' GROUP BY ALL ORDER BY total DESC
        """,
        "In-cluster cost adds up to the cluster's. Idle and shared cost are rows of their own: a query shares them as "
        "you like. External is what the bill's labels give to a namespace.",
    ),
    Finding(
        "Match coverage: the estimated cost that found its bill row",
        f"""
        SELECT cluster, asset_type, count(*) AS asset_days, count(match_rule) AS matched,
               round(100 * sum(cost) FILTER (match_rule IS NOT NULL) / sum(cost), 1) AS percent_of_cost
        FROM {_ASSET_COSTS} WHERE asset_type <> 'Network' GROUP BY ALL ORDER BY ALL
        """,
        "",
    ),
    Finding(
        "Out-of-cluster cost by service",
        f"""
        SELECT service_name AS service,
               CASE WHEN is_kubernetes THEN coalesce(cluster, '(cluster unknown)') END AS unmonitored_cluster,
               sum(billed_cost) AS billed, sum(effective_cost) AS effective
        FROM {_CLOUD_ASSETS} GROUP BY ALL ORDER BY effective DESC
        """,
        "Billed is the invoice's basis; effective spreads reservations and Savings Plans over their use.",
    ),
    Finding(
        "Conservation, in exact decimals",
        f"""
        WITH bill AS (SELECT sum(billed_cost) AS billed, sum(effective_cost) AS effective FROM {_BILLING}),
             claimed AS (SELECT sum(billed_cost) AS billed, sum(effective_cost) AS effective FROM {_RECONCILED}),
             unclaimed AS (SELECT sum(billed_cost) AS billed, sum(effective_cost) AS effective FROM {_CLOUD_ASSETS}),
             rows AS (
                 SELECT 'billed' AS cost, bill.billed AS bill, claimed.billed AS in_clusters,
                        unclaimed.billed AS out_of_clusters
                 FROM bill, claimed, unclaimed
                 UNION ALL
                 SELECT 'effective', bill.effective, claimed.effective, unclaimed.effective
                 FROM bill, claimed, unclaimed)
        SELECT *, (bill - in_clusters - out_of_clusters)::VARCHAR AS difference FROM rows
        """,
        "Σ bill = Σ claimed by clusters + Σ out-of-cluster, for every day and account.",
    ),
)
