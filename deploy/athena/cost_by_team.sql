-- What each team cost on each day, by the label `team` of its pods; what has no such label is '(none)'.
CREATE OR REPLACE VIEW cost_by_team AS
SELECT
  year,
  month,
  day,
  cluster,
  coalesce(nullif(team, ''), '(none)') AS team,
  sum(unadjusted_cost) AS unadjusted_cost,
  sum(adjustment) AS adjustment,
  sum(unadjusted_cost + adjustment) AS adjusted_cost,
  sum(total_cost) AS total_cost
FROM allocation_costs
WHERE allocation_type <> 'idle'
GROUP BY year, month, day, cluster, coalesce(nullif(team, ''), '(none)')
