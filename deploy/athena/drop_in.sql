-- What the other views read, over the drop-in table. Run this file or native.sql, then the others.
-- Partition pruning: filter on year and month (text: year = '2026' AND month = '10'), account_id or region.
CREATE OR REPLACE VIEW allocation_costs AS
SELECT
  year,
  month,
  date_format("window.start", '%Y-%m-%d') AS day,
  account_id,
  region,
  "properties.eksclustername" AS cluster,
  "properties.namespace" AS namespace,
  "properties.controllerkind" AS controller_kind,
  "properties.controller" AS controller,
  "properties.node" AS node,
  "properties.node_instance_type" AS instance_type,
  "properties.node_capacity_type" AS capacity_type,
  -- A label is a column of the table only if the settings and Terraform name it.
  "properties.labels.team" AS team,
  CASE
    WHEN strpos(name, '__idle__') > 0 THEN 'idle'
    WHEN strpos(name, '__unmounted__') > 0 THEN 'unmounted'
    ELSE 'workload'
  END AS allocation_type,
  cpucorehours AS cpu_core_hours,
  rambytehours / 1073741824 AS ram_gib_hours,
  cpucost + gpucost + ramcost + pvcost + networkcost + loadbalancercost AS unadjusted_cost,
  cpucostadjustment + gpucostadjustment + ramcostadjustment + pvcostadjustment + networkcostadjustment
    + loadbalancercostadjustment AS adjustment,
  sharedcost AS shared_cost,
  externalcost AS external_cost,
  totalcost AS total_cost
FROM kubecost_table
