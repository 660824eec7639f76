-- What runs on which kind of machine, on demand or spot; an empty kind is what lies on no node.
CREATE OR REPLACE VIEW cost_by_instance_type AS
SELECT
  year,
  month,
  day,
  cluster,
  coalesce(instance_type, '') AS instance_type,
  coalesce(capacity_type, '') AS capacity_type,
  sum(cpu_core_hours) AS cpu_core_hours,
  sum(ram_gib_hours) AS ram_gib_hours,
  sum(unadjusted_cost) AS unadjusted_cost,
  sum(unadjusted_cost + adjustment) AS adjusted_cost,
  sum(total_cost) AS total_cost
FROM allocation_costs
WHERE allocation_type <> 'idle'
GROUP BY year, month, day, cluster, coalesce(instance_type, ''), coalesce(capacity_type, '')
