/** Types: the API's answers, as far as the dashboard reads them. */

import type { Day } from "./format";

/** `/dashboard/context`: what the deployment is. */
export interface Context {
  currency: string;
  today: Day;
  first_day: Day | null;
  last_day: Day | null;
  /** Last day whose bill counts as complete. */
  settled_until: Day | null;
  clusters: { name: string; provider: string | null }[];
  cloud_stores: { key: string; title: string; provider: string }[];
  label_keys: string[];
  dagster_url: string | null;
  can_operate: boolean;
}

/** `/dashboard/spend`: cost per day and name. */
export interface Spend {
  rows: { date: Day; name: string; cost: number; is_in_cluster: boolean; is_settled: boolean }[];
}

/** `/dashboard/conservation`: per bill, in exact decimals as text. */
export interface Conservation {
  rows: { key: string; title: string; days: number; bill: string; in_clusters: string; out_of_clusters: string; difference: string }[];
}

export type DayState = "settled" | "provisional" | "missing" | "late";

export interface Connection {
  kind: "store" | "cluster";
  key: string;
  title: string;
  provider: string | null;
  status: string;
  since: string | null;
  checked_at: string | null;
  detail: string;
  cure: string;
  days: { date: Day; state: DayState }[];
}

/** `/dashboard/plan`: what an operation would run. */
export interface Plan {
  sentence: string;
  assets: { key: string; days: number }[];
  first_day: Day;
  last_day: Day;
  /** The API's route that runs it, and what to send. */
  path: string;
  parameters: Record<string, string>;
}

/** `/dashboard/operations/<id>`. */
export interface Progress {
  id: string;
  status: string;
  done: number;
  failed: number;
  total: number;
  is_over: boolean;
  url: string | null;
}

/** `/dashboard/query`. */
export interface Queries {
  title: string;
  duckdb: string;
  athena: string;
}

export interface Properties {
  cluster?: string;
  node?: string;
  namespace?: string;
  controller?: string;
  controllerKind?: string;
  pod?: string;
  container?: string;
  providerID?: string;
  category?: string;
  provider?: string;
  account?: string;
  service?: string;
  name?: string;
  labels?: Record<string, string>;
}

type Resource = "cpu" | "gpu" | "ram" | "pv" | "network" | "loadBalancer";

/** One item of `/model/allocation`. */
export type Allocation = {
  name: string;
  properties: Properties;
  sharedCost: number;
  externalCost: number;
  totalCost: number;
  cpuEfficiency: number | null;
  ramEfficiency: number | null;
  totalEfficiency: number | null;
  reconciled?: boolean;
} & Record<`${Resource}Cost` | `${Resource}CostAdjustment`, number>;

/** One item of `/model/assets`. */
export interface Asset {
  type: string;
  properties: Properties;
  labels?: Record<string, string>;
  adjustment?: number;
  totalCost: number;
  nodeType?: string;
  preemptible?: number;
  reconciled?: boolean;
  matchRule?: string | null;
}

/** One step: items by name; a step without data is `null`. */
export type Steps<T> = (Record<string, T> | null)[];

export interface MetricCost {
  cost: number;
  kubernetesPercent: number;
}

export const METRICS = {
  amortizedNetCost: "Amortized net",
  netCost: "Net",
  amortizedCost: "Amortized",
  invoicedCost: "Invoiced",
  listCost: "List",
} as const;

export type Metric = keyof typeof METRICS;

export type CloudCost = { properties: Properties & Record<string, unknown>; reconciled?: boolean } & Record<Metric, MetricCost>;

export interface CloudCostSets {
  sets: { cloudCosts: Record<string, CloudCost> | null; window: { start: string; end: string } }[];
}

export interface BillRow {
  provider_key: string;
  service_name: string | null;
  sku_meter: string | null;
  charge_category: string;
  charge_type: string | null;
  usage_quantity: number | null;
  line_items: number;
  /** Exact decimals as text. */
  list_cost: string;
  billed_cost: string;
  effective_cost: string;
}

export interface ExplainedAsset {
  asset_id: string;
  asset_type: string;
  name: string;
  provider_id: string | null;
  match_rule: string | null;
  cost: number;
  adjustment: number;
  total_cost: number;
  /** What of the asset the subject used, 0 to 1, and what that costs. */
  share: number;
  share_cost: number;
  bill_rows: BillRow[];
}

/** `/dashboard/explain`. */
export interface Explanation {
  date: Day;
  is_settled: boolean;
  steps: { name: string; kind: "total" | "change"; cost: number }[];
  assets: ExplainedAsset[];
}
