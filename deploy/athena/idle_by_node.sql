-- How much of each node nobody asked for. The share is of what its workloads and its idleness cost together.
CREATE OR REPLACE VIEW idle_by_node AS
SELECT
  year,
  month,
  day,
  cluster,
  node,
  sum(CASE WHEN allocation_type = 'idle' THEN total_cost ELSE 0 END) AS idle_cost,
  sum(total_cost) AS total_cost,
  sum(CASE WHEN allocation_type = 'idle' THEN total_cost ELSE 0 END) / nullif(sum(total_cost), 0) AS idle_share
FROM allocation_costs
WHERE node <> ''
GROUP BY year, month, day, cluster, node
