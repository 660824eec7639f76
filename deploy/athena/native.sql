-- What the other views read, over our own layout. Run this file or drop_in.sql, then the others.
-- Partition pruning: filter on day (text: day BETWEEN '2026-10-01' AND '2026-10-31') and on cluster.
CREATE OR REPLACE VIEW allocation_costs AS
SELECT
  substr(date, 1, 4) AS year,
  substr(date, 6, 2) AS month,
  date AS day,
  account_id,
  region,
  cluster,
  namespace,
  controller_kind,
  controller,
  node,
  element_at(labels, 'node_kubernetes_io_instance_type') AS instance_type,
  coalesce(
    element_at(labels, 'eks_amazonaws_com_capacityType'), element_at(labels, 'karpenter_sh_capacity_type')
  ) AS capacity_type,
  -- Any label that a pod has.
  element_at(labels, 'team') AS team,
  allocation_type,
  cpu_core_hours,
  ram_byte_hours / 1073741824 AS ram_gib_hours,
  -- A number that the cluster did not tell is null here; in a sum of several it counts as nothing.
  coalesce(cpu_cost, 0) + coalesce(gpu_cost, 0) + coalesce(ram_cost, 0) + coalesce(pv_cost, 0)
    + coalesce(network_cost, 0) + coalesce(load_balancer_cost, 0) AS unadjusted_cost,
  coalesce(cpu_cost_adjustment, 0) + coalesce(gpu_cost_adjustment, 0) + coalesce(ram_cost_adjustment, 0)
    + coalesce(pv_cost_adjustment, 0) + coalesce(network_cost_adjustment, 0)
    + coalesce(load_balancer_cost_adjustment, 0) AS adjustment,
  shared_cost,
  external_cost,
  total_cost
FROM allocations
