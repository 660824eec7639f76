-- The same month twice: as the cluster estimated it, and as the bill has it; one row for each cluster.
CREATE OR REPLACE VIEW adjusted_and_unadjusted AS
SELECT
  year,
  month,
  cluster,
  count(DISTINCT day) AS days,
  sum(unadjusted_cost) AS unadjusted_cost,
  sum(adjustment) AS adjustment,
  sum(unadjusted_cost + adjustment) AS adjusted_cost,
  sum(adjustment) / nullif(sum(unadjusted_cost), 0) AS adjustment_share,
  sum(CASE WHEN allocation_type = 'idle' THEN unadjusted_cost + adjustment ELSE 0 END) AS idle_cost
FROM allocation_costs
GROUP BY year, month, cluster
