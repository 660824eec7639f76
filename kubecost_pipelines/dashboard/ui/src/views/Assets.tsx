/** Assets: what the clusters are made of, what was estimated, and which rule found it on the bill. */

import { useMemo } from "preact/hooks";

import { useAnswer, url } from "../api";
import type { ViewProps } from "../App";
import { DailyBars } from "../charts/DailyBars";
import { toSeries } from "../charts/series";
import { type BilledState, Reconciled } from "../components/Badge";
import { Panel } from "../components/Panel";
import { Choice, Segments } from "../components/Segments";
import { Stat, Stats } from "../components/Stat";
import { type Column, saveTable, Table } from "../components/Table";
import { quoted } from "../filter";
import { cost, count, daysOf, displayName, isNothing, plural, share, signedCost } from "../format";
import { RULES } from "../rules";
import type { Asset, Steps } from "../types";
import { go, toView, withChange } from "../url";
import { windowText } from "../window";
import { useProvisional } from "./Overview";

const TYPES = [
  ["", "All types"],
  ["Node", "Nodes"],
  ["Disk", "Disks"],
  ["LoadBalancer", "Load balancers"],
  ["Network", "Network"],
  ["ClusterManagement", "Management fees"],
] as const;

const TYPE_NAMES: Record<string, string> = { LoadBalancer: "Load balancer", ClusterManagement: "Management fee" };

interface Row {
  key: string;
  name: string;
  asset: Asset;
  adjustment: number;
  state: BilledState;
}

export default function Assets({ context, query, window }: ViewProps) {
  const type = TYPES.find(([key]) => key === query.type)?.[0] ?? "";
  const cluster = query.cluster ?? "";
  const filter = [type ? `assetType:"${type}"` : 'assetType!:"Cloud"', cluster && `cluster:${quoted(cluster)}`].filter(Boolean).join("+");
  const parameters = { window: windowText(window), filter };
  const total = useAnswer<Steps<Asset>>(url("/model/assets", { ...parameters, accumulate: true }));
  const daily = useAnswer<Steps<Asset>>(url("/model/assets", { ...parameters, accumulate: false, aggregate: "type" }));
  const days = useMemo(() => daysOf(window.start, window.end), [window.start, window.end]);
  const hasSettledDays = window.start <= (context.settled_until ?? "");
  const rows = useMemo(() => toRows(total.data, hasSettledDays), [total.data, hasSettledDays]);
  const series = useMemo(
    () =>
      toSeries(
        (daily.data ?? []).flatMap((step, index) => Object.entries(step ?? {}).map(([name, asset]) => ({ date: days[index] ?? "", name: typeName(name), cost: asset.totalCost }))),
        days,
      ),
    [daily.data, days],
  );
  const isProvisional = useProvisional(context.settled_until);
  const columns = useMemo(() => columnsOf(context.currency), [context.currency]);
  const sum = (pick: (row: Row) => number) => rows.reduce((all, row) => all + pick(row), 0);
  const adjustment = sum((row) => row.adjustment);
  const whole = sum((row) => row.asset.totalCost);
  const seen = rows.filter((row) => row.asset.type !== "Network");
  const found = seen.filter((row) => row.asset.matchRule);
  const clusters = [["", "All clusters"], ...context.clusters.map(({ name }) => [name, name] as const)] as const;
  const empty = "No asset of this kind in these days. Choose others above.";
  const words = new URLSearchParams({ view: "assets", window: parameters.window, ...(type ? { type } : {}), ...(cluster ? { cluster } : {}) });
  return (
    <>
      <Stats answers={[total]}>
        <Stat label="Assets cost" figure={cost(whole, context.currency)} note={plural(rows.length, "asset")} />
        <Stat label="The clusters estimated" figure={cost(whole - adjustment, context.currency)} note="before reconciliation" />
        <Stat label="Moved to the bill by" figure={signedCost(adjustment, context.currency)} note={whole - adjustment ? `${share(Math.abs(adjustment) / (whole - adjustment))} of the estimate` : ""} />
        <Stat label="Found on a bill" figure={seen.length ? share(found.length / seen.length) : "–"} note={`${count(found.length)} of ${plural(seen.length, "asset")} that clusters report`} {...(seen.length && found.length / seen.length < 0.9 ? { tone: "warn" as const } : {})} />
      </Stats>
      <Panel
        title="What do the clusters’ assets cost per day?"
        answers={[daily]}
        isEmpty={series.length === 0}
        empty={empty}
        controls={
          <>
            <Choice label="Cluster" value={cluster} options={clusters} onChange={(to) => go(withChange({ cluster: to }), true)} />
          </>
        }
        onCsv={() => saveTable(`assets-${window.start}-daily`, dailyColumns(days), series)}
        query={`${words}&kind=daily`}
        lines={8}
      >
        <DailyBars label="Cost per day by type of asset" days={days} series={series} currency={context.currency} isProvisional={isProvisional} />
      </Panel>
      <Panel
        title="What was each asset estimated at, and what was it billed?"
        controls={<Segments label="Type" value={type} options={TYPES} onChange={(to) => go(withChange({ type: to }), true)} />}
        answers={[total]}
        isEmpty={rows.length === 0}
        empty={empty}
        onCsv={() => saveTable(`assets-${window.start}`, columns, rows)}
        query={`${words}&kind=total`}
        lines={10}
      >
        <Table
          caption="Assets"
          columns={columns}
          rows={rows}
          rowKey={(row) => row.key}
          totals={["Total", "", "", "", "", cost(whole - adjustment, context.currency), signedCost(adjustment, context.currency), cost(whole, context.currency), ""]}
        />
      </Panel>
    </>
  );
}

function stateOf(asset: Asset, hasSettledDays: boolean): BilledState {
  if (asset.reconciled) return "billed";
  return hasSettledDays && asset.matchRule ? "partly" : "estimate";
}

function typeName(type: string): string {
  return TYPES.find(([key]) => key === type)?.[1] ?? displayName(type);
}

function toRows(steps: Steps<Asset> | undefined, hasSettledDays: boolean): Row[] {
  return Object.entries(steps?.[0] ?? {})
    .map(([key, asset]) => ({ key, asset, name: asset.properties.name || (asset.type === "ClusterManagement" ? "Management fee" : asset.properties.providerID || displayName(key)), adjustment: asset.adjustment ?? 0, state: stateOf(asset, hasSettledDays) }))
    .sort((a, b) => b.asset.totalCost - a.asset.totalCost);
}

function columnsOf(currency: string): Column<Row>[] {
  return [
    {
      title: "Asset",
      value: (row) => row.name,
      show: (row) => (
        <a href={toView("why", { cluster: row.asset.properties.cluster ?? "", asset: row.asset.properties.name ?? "", type: row.asset.type })} title={row.name}>
          <span class="clip">{row.name}</span>
        </a>
      ),
    },
    { title: "Type", isLeast: true, value: (row) => row.asset.type, show: (row) => <>{TYPE_NAMES[row.asset.type] ?? row.asset.type}{row.asset.nodeType && <span class="faint"> {row.asset.nodeType}</span>}{row.asset.preemptible ? <span class="faint"> spot</span> : null}</> },
    { title: "Cluster", isLeast: true, value: (row) => row.asset.properties.cluster },
    { title: "Provider id", isWide: true, value: (row) => row.asset.properties.providerID, show: (row) => <span class="clip id" title={row.asset.properties.providerID}>{row.asset.properties.providerID ?? "–"}</span> },
    { title: "Found by", isMinor: true, hint: "The rule that found it on the bill", value: (row) => row.asset.matchRule, show: (row) => (row.asset.matchRule ? (RULES[row.asset.matchRule] ?? row.asset.matchRule) : <span class="warn-text">not on a bill</span>) },
    { title: "Estimate", isNumber: true, isMinor: true, value: (row) => row.asset.totalCost - row.adjustment, show: (row) => cost(row.asset.totalCost - row.adjustment, currency) },
    { title: "Adjustment", isNumber: true, value: (row) => row.adjustment, show: (row) => (!isNothing(row.adjustment) ? signedCost(row.adjustment, currency) : <span class="faint">–</span>) },
    { title: "Total", isNumber: true, value: (row) => row.asset.totalCost, show: (row) => <strong>{cost(row.asset.totalCost, currency)}</strong> },
    { title: "State", isLeast: true, value: (row) => row.state, show: (row) => <Reconciled state={row.state} /> },
  ];
}

function dailyColumns(days: readonly string[]): Column<{ name: string; values: readonly (number | undefined)[] }>[] {
  return [{ title: "Type", value: (row) => row.name }, ...days.map((day, index) => ({ title: day, isNumber: true, value: (row: { values: readonly (number | undefined)[] }) => row.values[index] ?? 0 }))];
}
