-- What each namespace cost on each day: estimated, adjusted to the bill, with its share of what is shared, and in all.
CREATE OR REPLACE VIEW cost_by_namespace AS
SELECT
  year,
  month,
  day,
  cluster,
  namespace,
  sum(unadjusted_cost) AS unadjusted_cost,
  sum(adjustment) AS adjustment,
  sum(unadjusted_cost + adjustment) AS adjusted_cost,
  sum(shared_cost) AS shared_cost,
  sum(external_cost) AS external_cost,
  sum(total_cost) AS total_cost
FROM allocation_costs
WHERE allocation_type <> 'idle'
GROUP BY year, month, day, cluster, namespace
