/** Workloads: what runs in the clusters costs, down to one pod. */

import { useMemo } from "preact/hooks";

import { useAnswer, url } from "../api";
import type { ViewProps } from "../App";
import { DailyBars } from "../charts/DailyBars";
import { toSeries } from "../charts/series";
import { Spark } from "../charts/Spark";
import { type BilledState, Reconciled } from "../components/Badge";
import { Icon } from "../components/Icon";
import { Panel } from "../components/Panel";
import { Choice } from "../components/Segments";
import { Stat, Stats } from "../components/Stat";
import { type Column, saveTable, Table } from "../components/Table";
import { quoted } from "../filter";
import { cost, count, daysOf, displayName, isNothing, isSpecial, share, signedCost } from "../format";
import type { Allocation, Steps } from "../types";
import { go, type Query, toView, withChange } from "../url";
import { windowText } from "../window";
import { useProvisional } from "./Overview";

const IDLE = [
  ["apart", "shown apart"],
  ["shared", "shared by weight"],
  ["hidden", "left out"],
] as const;

/** From the widest to the narrowest; a click on a row goes one to the right. */
const LADDER = ["cluster", "namespace", "controller", "pod"] as const;

interface Workload {
  name: string;
  item: Allocation;
  adjustment: number;
  daily: (number | undefined)[];
  state: BilledState;
}

function adjustmentOf(item: Allocation): number {
  return (["cpu", "gpu", "ram", "pv", "network", "loadBalancer"] as const).reduce((sum, part) => sum + (item[`${part}CostAdjustment`] ?? 0), 0);
}

/** The filters of the address in Kubecost's filter language. */
export function filterOf(query: Query): string {
  const parts = LADDER.filter((name) => query[name]).map((name) => `${name}:${quoted(query[name] ?? "")}`);
  const label = /^([^:]+):(.*)$/.exec(query.label ?? "");
  if (label?.[1]) parts.push(`label[${label[1]}]:${quoted(label[2] ?? "")}`);
  return parts.join("+");
}

export default function Workloads({ context, query, window }: ViewProps) {
  const groups = [...LADDER.map((name) => [name, name] as const), ...context.label_keys.map((key) => [`label:${key}`, `label ${key}`] as const)];
  const group = groups.find(([key]) => key === query.group)?.[0] ?? "namespace";
  const idle = IDLE.find(([key]) => key === query.idle)?.[0] ?? "apart";
  const parameters = {
    window: windowText(window),
    aggregate: group,
    filter: filterOf(query),
    idle: idle !== "hidden",
    external: true,
    // What the cluster as a whole costs stays a row of its own, as in the query that is shown.
    shareTenancyCosts: false,
    ...(idle === "shared" ? { shareIdle: "true" } : {}),
  };
  const total = useAnswer<Steps<Allocation>>(url("/model/allocation", { ...parameters, accumulate: true }));
  const daily = useAnswer<Steps<Allocation>>(url("/model/allocation", { ...parameters, accumulate: false }));
  const days = useMemo(() => daysOf(window.start, window.end), [window.start, window.end]);
  const hasSettledDays = window.start <= (context.settled_until ?? "");
  const rows = useMemo(() => toRows(total.data, daily.data, days.length, hasSettledDays), [total.data, daily.data, days, hasSettledDays]);
  const series = useMemo(
    () => toSeries(rows.flatMap((row) => row.daily.flatMap((value, index) => (value === undefined ? [] : [{ date: days[index] ?? "", name: row.name, cost: value }]))), days),
    [rows, days],
  );
  const isProvisional = useProvisional(context.settled_until);
  const columns = useMemo(() => columnsOf(group, context.currency, query), [group, context.currency, query]);
  const sum = (pick: (row: Workload) => number) => rows.reduce((all, row) => all + pick(row), 0);
  const money = (value: number) => cost(value, context.currency);
  const whole = sum((row) => row.item.totalCost);
  const idleCost = sum((row) => (row.name.includes("__idle__") ? row.item.totalCost : 0));
  const [used, requested] = efficiency(rows);
  const visible = columns.filter((column) => !column.isHidden);
  const totals = visible.map((column) =>
    column.title === visible[0]?.title ? "Total" : column.isNumber && column.title !== "Efficiency" ? totalOf(column, rows, context.currency) : "",
  );

  return (
    <>
      <Filters query={query} />
      <Stats answers={[total]}>
        <Stat label="Workloads cost" figure={money(whole)} note={`${count(rows.filter((row) => !isSpecial(row.name)).length)} by ${group.replace("label:", "label ")}`} />
        <Stat label="Idle" figure={money(idleCost)} note={idle === "apart" ? (whole ? `${share(idleCost / whole)} of the cost` : "") : IDLE.find(([key]) => key === idle)?.[1]} />
        <Stat label="Efficiency" figure={requested ? share(used / requested) : "–"} note="used ÷ requested, by cost of CPU and RAM" />
        <Stat label="Moved to the bill by" figure={signedCost(sum((row) => row.adjustment), context.currency)} note="adjustment of the estimates" />
      </Stats>
      <Panel
        title={`What does each ${group.replace("label:", "label ")} cost per day?`}
        answers={[daily]}
        isEmpty={rows.length === 0}
        empty={<NothingFound query={query} />}
        controls={
          <>
            <Choice label="Group by" value={group} options={groups} onChange={(to) => go(withChange({ group: to }), true)} />
            <Choice label="Idle" value={idle} options={IDLE} onChange={(to) => go(withChange({ idle: to }), true)} />
          </>
        }
        onCsv={() => saveTable(`${group}-${window.start}-daily`, dailyColumns(days), rows)}
        query={queryOf("daily", group, query, parameters.window)}
        lines={8}
      >
        <DailyBars label={`Cost per day by ${group}`} days={days} series={series} currency={context.currency} isProvisional={isProvisional} />
      </Panel>
      <Panel
        title={`Which ${group.replace("label:", "label ")} costs most, and how well is it used?`}
        answers={[total]}
        isEmpty={rows.length === 0}
        empty={<NothingFound query={query} />}
        onCsv={() => saveTable(`${group}-${window.start}`, columns, rows)}
        query={queryOf("total", group, query, parameters.window)}
        lines={10}
      >
        <Table caption={`Cost by ${group}`} columns={columns} rows={rows} rowKey={(row) => row.name} rowClass={(row) => (isSpecial(row.name) ? "special" : "")} totals={totals} />
      </Panel>
    </>
  );
}

function queryOf(kind: string, group: string, query: Query, words: string): string {
  const filters = Object.fromEntries([...LADDER, "label", "idle"].filter((name) => query[name]).map((name) => [name, query[name] ?? ""]));
  return new URLSearchParams({ view: "workloads", kind, group, window: words, ...filters }).toString();
}

function toRows(total: Steps<Allocation> | undefined, daily: Steps<Allocation> | undefined, length: number, hasSettledDays: boolean): Workload[] {
  const whole = total?.[0] ?? {};
  return Object.entries(whole)
    .map(([name, item]) => ({
      name,
      item,
      adjustment: adjustmentOf(item),
      daily: Array.from({ length }, (_, index) => daily?.[index]?.[name]?.totalCost),
      state: stateOf(item, daily?.some((step) => step?.[name]?.reconciled) || (hasSettledDays && !isNothing(adjustmentOf(item)))),
    }))
    .sort((a, b) => b.item.totalCost - a.item.totalCost);
}

function stateOf(item: Allocation, hasBilledParts: boolean | undefined): BilledState {
  if (item.reconciled) return "billed";
  return hasBilledParts ? "partly" : "estimate";
}

/** Cost of what is used and of what is requested, over rows whose efficiency is known. */
function efficiency(rows: readonly Workload[]): [number, number] {
  let used = 0;
  let requested = 0;
  for (const { item, name } of rows) {
    if (item.totalEfficiency === null || item.totalEfficiency === undefined || isSpecial(name)) continue;
    const base = item.cpuCost + item.ramCost + (item.cpuCostAdjustment ?? 0) + (item.ramCostAdjustment ?? 0);
    used += item.totalEfficiency * base;
    requested += base;
  }
  return [used, requested];
}

function totalOf(column: Column<Workload>, rows: readonly Workload[], currency: string): string {
  const sum = rows.reduce((all, row) => all + Number(column.value(row) ?? 0), 0);
  if (isNothing(sum)) return "–";
  return column.title === "Adjustment" ? signedCost(sum, currency) : cost(sum, currency);
}

function Filters({ query }: { query: Query }) {
  const given = [...LADDER, "label" as const].filter((name) => query[name]);
  if (!given.length) return null;
  return (
    <nav class="crumbs" aria-label="Filters">
      <a href={withChange({ cluster: "", namespace: "", controller: "", pod: "", label: "", group: LADDER.find((name) => query[name]) ?? "namespace" })}>All workloads</a>
      {given.map((name) => (
        <span key={name} class="crumb">
          <Icon name="right" />
          <span>
            <span class="faint">{name}</span> {displayName(query[name] ?? "")}
          </span>
          <a href={withChange({ [name]: "" })} aria-label={`Remove the filter ${name} ${query[name]}`} class="bare">
            <Icon name="close" />
          </a>
        </span>
      ))}
    </nav>
  );
}

function NothingFound({ query }: { query: Query }) {
  return filterOf(query) ? (
    <>
      No workload matches these filters in these days. <a href={withChange({ cluster: "", namespace: "", controller: "", pod: "", label: "" })}>Remove the filters</a>
    </>
  ) : (
    <>No workload in these days. Choose others above.</>
  );
}

/** One step down from a row: the next rung with this one as a filter; from a pod, why it costs what it does. */
function below(group: string, row: Workload, query: Query): string | null {
  if (isSpecial(row.name)) return null;
  // A label's item is named with its key, `team=shop`; the filter takes the value.
  if (group.startsWith("label:")) return withChange({ group: "namespace", label: `${group.slice(6)}:${row.name.slice(row.name.indexOf("=") + 1)}` });
  const { cluster, namespace } = row.item.properties;
  if (group === "pod") {
    const place = { cluster: query.cluster || cluster || "", namespace: query.namespace || namespace || "" };
    return place.cluster ? toView("why", { ...place, pod: row.name }) : null;
  }
  const next = LADDER[LADDER.indexOf(group as (typeof LADDER)[number]) + 1];
  // A controller is named with its kind, `statefulset:orders-db`; the filter takes the name.
  const value = group === "controller" ? row.name.slice(row.name.indexOf(":") + 1) : row.name;
  return next ? withChange({ [group]: value, group: next }) : null;
}

function columnsOf(group: string, currency: string, query: Query): Column<Workload>[] {
  const money = (title: string, pick: (row: Workload) => number, more: Partial<Column<Workload>> = {}): Column<Workload> => ({
    title,
    isNumber: true,
    value: pick,
    show: (row) => <span class={isNothing(pick(row)) ? "faint" : ""}>{isNothing(pick(row)) ? "–" : cost(pick(row), currency)}</span>,
    ...more,
  });
  const part = (title: string, name: "cpu" | "ram" | "gpu" | "pv" | "network" | "loadBalancer", hint: string) =>
    money(title, ({ item }) => (item[`${name}Cost`] ?? 0) + (item[`${name}CostAdjustment`] ?? 0), { isMinor: true, hint });
  return [
    {
      title: group.startsWith("label:") ? `Label ${group.slice(6)}` : group[0]?.toUpperCase() + group.slice(1),
      value: (row) => row.name,
      show: (row) => {
        const to = below(group, row, query);
        return to ? <a href={to}>{displayName(row.name)}</a> : displayName(row.name);
      },
    },
    { title: "Trend", value: () => null, isMinor: true, isFixed: true, show: (row) => <Spark values={row.daily} /> },
    part("CPU", "cpu", "CPU, adjustment included"),
    part("RAM", "ram", "RAM, adjustment included"),
    part("GPU", "gpu", "GPU, adjustment included"),
    part("Volumes", "pv", "Persistent volumes, adjustment included"),
    money("Network", ({ item }) => item.networkCost + item.networkCostAdjustment + item.loadBalancerCost + item.loadBalancerCostAdjustment, { isMinor: true, hint: "Network and load balancers, adjustment included" }),
    money("Shared", ({ item }) => item.sharedCost, { isMinor: true, hint: "What the cluster as a whole costs, such as its management fee" }),
    money("External", ({ item }) => item.externalCost, { isMinor: true, hint: "Cloud cost outside the cluster that is labelled for it" }),
    {
      title: "Efficiency",
      isNumber: true,
      hint: "Used ÷ requested",
      value: ({ item, name }) => (isSpecial(name) ? null : item.totalEfficiency),
      show: ({ item, name }) => (isSpecial(name) || item.totalEfficiency === null || item.totalEfficiency === undefined ? <span class="faint">–</span> : <Meter value={item.totalEfficiency} />),
    },
    { title: "Adjustment", isNumber: true, isMinor: true, hint: "What reconciliation added to the estimate", value: (row) => row.adjustment, show: (row) => <span class={isNothing(row.adjustment) ? "faint" : ""}>{!isNothing(row.adjustment) ? signedCost(row.adjustment, currency) : "–"}</span> },
    { ...money("Total", ({ item }) => item.totalCost), show: ({ item }) => <strong>{cost(item.totalCost, currency)}</strong> },
    { title: "State", value: (row) => row.state, show: (row) => <Reconciled state={row.state} /> },
  ];
}

function Meter({ value }: { value: number }) {
  return (
    <span class="meter">
      <i style={{ width: `${Math.min(1, Math.max(0, value)) * 100}%` }} aria-hidden="true" />
      <span>{share(value)}</span>
    </span>
  );
}

function dailyColumns(days: readonly string[]): Column<Workload>[] {
  return [{ title: "Name", value: (row) => row.name }, ...days.map((day, index) => ({ title: day, isNumber: true, value: (row: Workload) => row.daily[index] ?? 0 }))];
}
