/** Overview: what is spent, where, how it compares with last month, and how far it can be trusted. */

import { useMemo } from "preact/hooks";

import { useAnswer, url } from "../api";
import type { ViewProps } from "../App";
import { DailyBars } from "../charts/DailyBars";
import { toSeries } from "../charts/series";
import { Badge } from "../components/Badge";
import { Panel } from "../components/Panel";
import { Segments } from "../components/Segments";
import { Stat, Stats } from "../components/Stat";
import { type Column, saveTable, Table } from "../components/Table";
import { addDays, change, cost, daysBetween, daysOf, displayName, monthName, plural, share, shortDay } from "../format";
import type { Conservation, Spend } from "../types";
import { go, toView, withChange } from "../url";
import { type Window, windowOf, windowText } from "../window";

const DIMENSIONS = [
  ["cluster", "Cluster"],
  ["cloud", "Cloud"],
  ["service", "Service"],
] as const;

type Row = Spend["rows"][number];

export default function Overview({ context, query, window }: ViewProps) {
  const by = DIMENSIONS.find(([key]) => key === query.by)?.[0] ?? "cluster";
  const words = windowText(window);
  const spend = useAnswer<Spend>(url("/dashboard/spend", { window: words, by }));
  const conserved = useAnswer<Conservation>(url("/dashboard/conservation", { window: words }));
  const rows = spend.data?.rows ?? [];
  const isProvisional = useProvisional(context.settled_until);
  const days = useMemo(() => daysOf(window.start, window.end), [window.start, window.end]);
  const series = useMemo(
    () => toSeries(rows.map((row) => ({ date: row.date, name: row.name, cost: row.cost })), days),
    [rows, days],
  );
  const columns = useMemo(() => dailyColumns(), []);
  return (
    <>
      <Headline context={context} window={window} spend={spend} />
      <Panel
        title={`What is spent per day, by ${by}?`}
        note="In clusters as billed once a day is settled; before, nodes at their latest billed price and the rest as estimated. Everything else as billed, effective cost."
        controls={<Segments label="Group by" value={by} options={DIMENSIONS} onChange={(to) => go(withChange({ by: to }), true)} />}
        answers={[spend]}
        isEmpty={rows.length === 0}
        empty="No costs in these days. Choose others above."
        onCsv={() => saveTable(`spend-by-${by}-${window.start}`, columns, rows)}
        query={`view=spend&by=${by}&window=${words}`}
        lines={8}
      >
        <DailyBars
          label={`Cost per day by ${by}`}
          days={days}
          series={series}
          currency={context.currency}
          isProvisional={isProvisional}
          height={260}
        />
      </Panel>
      <div class="columns">
        <MonthPanel context={context} />
        <Panel
          title="Is every bill accounted for?"
          note="Bill = claimed by clusters + out of clusters, effective cost, in exact decimals."
          answers={[conserved]}
          isEmpty={conserved.data?.rows.length === 0}
          empty="No bill has been read in these days."
          onCsv={() => saveTable(`conservation-${window.start}`, conservationColumns(context.currency), conserved.data?.rows ?? [])}
          query={`view=conservation&window=${words}`}
        >
          <Table
            caption="Bills and what they were divided into"
            columns={conservationColumns(context.currency)}
            rows={conserved.data?.rows ?? []}
            rowKey={(row) => row.key}
          />
        </Panel>
      </div>
    </>
  );
}

/** Days after the last settled one are provisional; without any settled day, all are. */
export function useProvisional(settledUntil: string | null): (day: string) => boolean {
  return useMemo(() => (day: string) => !settledUntil || day > settledUntil, [settledUntil]);
}

function Headline({ context, window, spend }: { context: ViewProps["context"]; window: Window; spend: { readonly data?: Spend } }) {
  const rows = spend.data?.rows ?? [];
  const sum = (some: readonly Row[]) => some.reduce((total, row) => total + row.cost, 0);
  const total = sum(rows);
  const inClusters = sum(rows.filter((row) => row.is_in_cluster));
  const provisional = sum(rows.filter((row) => !row.is_settled));
  const days = new Set(rows.map((row) => row.date)).size;
  const gaps = daysBetween(window.start, window.end) - days;
  const last = context.last_day;
  const behind = last ? daysBetween(last, context.today) - 1 : 0;
  const money = (value: number) => cost(value, context.currency);
  return (
    <Stats answers={[spend]}>
      <Stat label="Total" figure={money(total)} note={days ? `${money(total / days)} a day over ${plural(days, "day")}` : "no day yet"} />
      <Stat label="In clusters" figure={money(inClusters)} note={total ? `${share(inClusters / total)} of the total` : ""} />
      <Stat label="Out of clusters" figure={money(total - inClusters)} note={total ? `${share(1 - inClusters / total)} of the total` : ""} />
      <Stat
        label="Still provisional"
        figure={total ? share(provisional / total) : "–"}
        note={context.settled_until ? `settled up to ${shortDay(context.settled_until)}` : "no day is settled yet"}
      />
      <Stat
        label="Fresh up to"
        isKnown
        figure={last ? shortDay(last) : "–"}
        note={behind < 1 ? "yesterday is complete" : `${plural(behind, "day")} behind`}
        {...(behind > 1 ? { tone: "warn" as const } : {})}
      />
      {gaps > 0 && rows.length > 0 && <Stat label="Days without costs" figure={String(gaps)} note={<a href={toView("connections")}>see which are missing</a>} tone="warn" />}
    </Stats>
  );
}

interface Compared {
  name: string;
  now: number;
  before: number;
}

function MonthPanel({ context }: { context: ViewProps["context"] }) {
  const lastDay = context.last_day ?? context.today;
  const month = windowOf("month", lastDay);
  const previous = windowOf("lastmonth", lastDay);
  const length = daysBetween(month.start, month.end);
  const sameDays: Window = { start: previous.start, end: addDays(previous.start, Math.min(length, daysBetween(previous.start, previous.end))) };
  const now = useAnswer<Spend>(url("/dashboard/spend", { window: windowText(month), by: "cluster" }));
  const before = useAnswer<Spend>(url("/dashboard/spend", { window: windowText(sameDays), by: "cluster" }));
  const daysBefore = new Set(before.data?.rows.map((row) => row.date)).size;
  const isComparable = daysBefore === length;
  const rows = compare(now.data?.rows ?? [], before.data?.rows ?? []);
  const columns: Column<Compared>[] = [
    { title: "Cluster", value: (row) => row.name, show: (row) => displayName(row.name) },
    { title: monthName(month.start), isNumber: true, value: (row) => row.now, show: (row) => cost(row.now, context.currency) },
    {
      title: monthName(previous.start),
      isNumber: true,
      value: (row) => row.before,
      show: (row) => (daysBefore ? cost(row.before, context.currency) : "–"),
    },
    {
      title: "Change",
      isNumber: true,
      value: (row) => (row.before ? row.now / row.before - 1 : null),
      show: (row) => (isComparable && row.before ? change(row.now / row.before - 1) : "–"),
    },
  ];
  const total = rows.reduce((sum, row) => ({ now: sum.now + row.now, before: sum.before + row.before }), { now: 0, before: 0 });
  return (
    <Panel
      title="How does this month compare with the last?"
      note={
        isComparable
          ? `The first ${plural(length, "day")} of each month.`
          : `The first ${plural(length, "day")} of each month; of ${monthName(previous.start)} the lake has ${daysBefore || "none"}.`
      }
      answers={[now, before]}
      isEmpty={rows.length === 0}
      onCsv={() => saveTable(`month-${month.start}`, columns, rows)}
      query={`view=months&window=${windowText(month)}&before=${windowText(sameDays)}`}
    >
      <Table
        caption="This month against the same days of last month"
        columns={columns}
        rows={rows}
        rowKey={(row) => row.name}
        totals={[
          "Total",
          cost(total.now, context.currency),
          daysBefore ? cost(total.before, context.currency) : "–",
          isComparable && total.before ? change(total.now / total.before - 1) : "–",
        ]}
      />
    </Panel>
  );
}

function compare(now: readonly Row[], before: readonly Row[]): Compared[] {
  const found = new Map<string, Compared>();
  const at = (name: string) => {
    const row = found.get(name) ?? { name, now: 0, before: 0 };
    found.set(name, row);
    return row;
  };
  for (const row of now) at(row.name).now += row.cost;
  for (const row of before) at(row.name).before += row.cost;
  return [...found.values()].sort((a, b) => b.now - a.now);
}

function dailyColumns(): Column<Row>[] {
  return [
    { title: "Date", value: (row) => row.date },
    { title: "Name", value: (row) => row.name },
    { title: "Cost", value: (row) => row.cost, isNumber: true },
    { title: "Is settled", value: (row) => String(row.is_settled) },
  ];
}

function conservationColumns(currency: string): Column<Conservation["rows"][number]>[] {
  const money = (text: string) => cost(Number(text), currency);
  return [
    {
      title: "Bill",
      value: (row) => row.key,
      show: (row) => (
        <a href={toView("connections")} title={row.key}>
          {row.title}
        </a>
      ),
    },
    { title: "Billed", isNumber: true, value: (row) => row.bill, show: (row) => money(row.bill) },
    { title: "In clusters", isNumber: true, value: (row) => row.in_clusters, show: (row) => money(row.in_clusters) },
    { title: "Outside", isNumber: true, isMinor: true, value: (row) => row.out_of_clusters, show: (row) => money(row.out_of_clusters) },
    {
      title: "Difference",
      isNumber: true,
      value: (row) => row.difference,
      show: (row) =>
        Number(row.difference) === 0 ? (
          <Badge tone="good" title={row.difference}>
            none
          </Badge>
        ) : (
          <Badge tone="bad">{row.difference}</Badge>
        ),
    },
  ];
}
