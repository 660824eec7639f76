/** Cloud costs: the whole bill by service, account or tag, and how much of it is Kubernetes. */

import { useMemo } from "preact/hooks";

import { useAnswer, url } from "../api";
import type { ViewProps } from "../App";
import { DailyBars } from "../charts/DailyBars";
import { toSeries } from "../charts/series";
import { Spark } from "../charts/Spark";
import { Panel } from "../components/Panel";
import { Choice } from "../components/Segments";
import { Stat, Stats } from "../components/Stat";
import { type Column, saveTable, Table } from "../components/Table";
import { quoted } from "../filter";
import { cost, daysOf, displayName, isSpecial, plural, share } from "../format";
import { type CloudCostSets, type Metric, METRICS } from "../types";
import { go, type Query, withChange } from "../url";
import { windowText } from "../window";
import { useProvisional } from "./Overview";

const BY = [
  ["service", "service"],
  ["accountID", "account"],
  ["provider", "provider"],
  ["category", "category"],
  ["invoiceEntityID", "payer"],
] as const;

interface Row {
  name: string;
  cost: number;
  kubernetes: number;
  daily: (number | undefined)[];
}

const FILTERS = ["service", "accountID", "provider", "category"] as const;

export default function CloudCosts({ context, query, window }: ViewProps) {
  const groups = [...BY, ...context.label_keys.map((key) => [`label:${key}`, `tag ${key}`] as const)];
  const group = groups.find(([key]) => key === query.group)?.[0] ?? "service";
  const metric = (query.metric && query.metric in METRICS ? query.metric : "amortizedNetCost") as Metric;
  const filter = FILTERS.filter((name) => query[name]).map((name) => `${name}:${quoted(query[name] ?? "")}`).join("+");
  const words = windowText(window);
  const answer = useAnswer<CloudCostSets>(url("/model/cloudCost", { window: words, aggregate: group, accumulate: "day", filter }));
  const days = useMemo(() => daysOf(window.start, window.end), [window.start, window.end]);
  const rows = useMemo(() => toRows(answer.data, days, metric), [answer.data, days, metric]);
  const series = useMemo(
    () => toSeries(rows.flatMap((row) => row.daily.flatMap((value, index) => (value === undefined ? [] : [{ date: days[index] ?? "", name: row.name, cost: value }]))), days),
    [rows, days],
  );
  const isProvisional = useProvisional(context.settled_until);
  const columns = useMemo(() => columnsOf(groups.find(([key]) => key === group)?.[1] ?? group, group, context.currency), [group, context.currency]);
  const whole = rows.reduce((sum, row) => sum + row.cost, 0);
  const kubernetes = rows.reduce((sum, row) => sum + row.kubernetes, 0);
  const money = (value: number) => cost(value, context.currency);
  const title = groups.find(([key]) => key === group)?.[1] ?? group;
  const untagged = group.startsWith("label:") ? rows.filter((row) => isSpecial(row.name)).reduce((sum, row) => sum + row.cost, 0) : null;
  const asked = (kind: string) => new URLSearchParams({ view: "cloud", kind, group, metric, window: words, ...Object.fromEntries(FILTERS.filter((name) => query[name]).map((name) => [name, query[name] ?? ""])) }).toString();
  const empty = filter ? (
    <>
      No charge matches these filters in these days. <a href={withChange(cleared())}>Remove the filters</a>
    </>
  ) : (
    "No bill has been read in these days. Choose others above."
  );
  return (
    <>
      <Filters query={query} />
      <Stats answers={[answer]}>
        <Stat label={`${METRICS[metric]} cost`} figure={money(whole)} note={plural(rows.length, title)} />
        <Stat label="Kubernetes" figure={money(kubernetes)} note={whole ? `${share(kubernetes / whole)} of the bill` : ""} />
        <Stat label="Everything else" figure={money(whole - kubernetes)} note={whole ? `${share(1 - kubernetes / whole)} of the bill` : ""} />
        {untagged !== null && <Stat label={`Without ${title}`} figure={money(untagged)} note={whole ? `${share(untagged / whole)} of the bill` : ""} />}
      </Stats>
      <Panel
        title={`What is billed per day, by ${title}?`}
        answers={[answer]}
        isEmpty={rows.length === 0}
        empty={empty}
        controls={
          <>
            <Choice label="Group by" value={group} options={groups} onChange={(to) => go(withChange({ group: to }), true)} />
            <Choice label="Cost" value={metric} options={Object.entries(METRICS) as [Metric, string][]} onChange={(to) => go(withChange({ metric: to }), true)} />
          </>
        }
        onCsv={() => saveTable(`cloud-costs-by-${group}-${window.start}-daily`, dailyColumns(days), rows)}
        query={asked("daily")}
        lines={8}
      >
        <DailyBars label={`Billed per day by ${title}`} days={days} series={series} currency={context.currency} isProvisional={isProvisional} />
      </Panel>
      <Panel
        title={`Which ${title} costs most, and how much of it is Kubernetes?`}
        answers={[answer]}
        isEmpty={rows.length === 0}
        empty={empty}
        onCsv={() => saveTable(`cloud-costs-by-${group}-${window.start}`, columns, rows)}
        query={asked("total")}
        lines={8}
      >
        <Table caption={`Cloud costs by ${title}`} columns={columns} rows={rows} rowKey={(row) => row.name} rowClass={(row) => (isSpecial(row.name) ? "special" : "")} totals={["Total", "", money(kubernetes), whole ? share(kubernetes / whole) : "–", money(whole - kubernetes), money(whole)]} />
      </Panel>
    </>
  );
}

function cleared(): Query {
  return Object.fromEntries(FILTERS.map((name) => [name, ""]));
}

function Filters({ query }: { query: Query }) {
  const given = FILTERS.filter((name) => query[name]);
  if (!given.length) return null;
  return (
    <nav class="crumbs" aria-label="Filters">
      <a href={withChange({ ...cleared(), group: given[0] ?? "" })}>All cloud costs</a>
      {given.map((name) => (
        <span key={name} class="crumb">
          <span class="faint">{BY.find(([key]) => key === name)?.[1]}</span> {query[name]}
          <a href={withChange({ [name]: "" })} class="bare" aria-label={`Remove the filter ${query[name]}`}>
            ×
          </a>
        </span>
      ))}
    </nav>
  );
}

function toRows(data: CloudCostSets | undefined, days: readonly string[], metric: Metric): Row[] {
  const rows = new Map<string, Row>();
  for (const set of data?.sets ?? []) {
    const index = days.indexOf(set.window.start.slice(0, 10));
    for (const [name, item] of Object.entries(set.cloudCosts ?? {})) {
      const row = rows.get(name) ?? { name, cost: 0, kubernetes: 0, daily: new Array<number | undefined>(days.length).fill(undefined) };
      const { cost: amount, kubernetesPercent } = item[metric];
      row.cost += amount;
      row.kubernetes += amount * kubernetesPercent;
      if (index >= 0) row.daily[index] = (row.daily[index] ?? 0) + amount;
      rows.set(name, row);
    }
  }
  return [...rows.values()].sort((a, b) => b.cost - a.cost);
}

function columnsOf(title: string, group: string, currency: string): Column<Row>[] {
  const money = (value: number) => (value === 0 ? <span class="faint">–</span> : cost(value, currency));
  const canFilter = (FILTERS as readonly string[]).includes(group);
  const next = group === "service" ? "accountID" : "service";
  return [
    {
      title: `${title[0]?.toUpperCase()}${title.slice(1)}`,
      value: (row) => row.name,
      show: (row) => (canFilter && !isSpecial(row.name) ? <a href={withChange({ [group]: row.name, group: next })}>{displayName(row.name)}</a> : displayName(row.name)),
    },
    { title: "Trend", value: () => null, isMinor: true, isFixed: true, show: (row) => <Spark values={row.daily} /> },
    { title: "Kubernetes", isNumber: true, isMinor: true, value: (row) => row.kubernetes, show: (row) => money(row.kubernetes) },
    { title: "Kubernetes share", isNumber: true, isMinor: true, value: (row) => (row.cost ? row.kubernetes / row.cost : null), show: (row) => (row.cost ? share(row.kubernetes / row.cost) : "–") },
    { title: "Everything else", isNumber: true, isMinor: true, value: (row) => row.cost - row.kubernetes, show: (row) => money(row.cost - row.kubernetes) },
    { title: "Cost", isNumber: true, value: (row) => row.cost, show: (row) => <strong>{cost(row.cost, currency)}</strong> },
  ];
}

function dailyColumns(days: readonly string[]): Column<Row>[] {
  return [{ title: "Name", value: (row) => row.name }, ...days.map((day, index) => ({ title: day, isNumber: true, value: (row: Row) => row.daily[index] ?? 0 }))];
}
