/** Series: daily costs by name, ready to draw: the largest names by themselves, the rest as one. */

import type { Day } from "../format";

export interface Series {
  readonly name: string;
  /** A CSS colour. */
  readonly color: string;
  readonly total: number;
  /** One cost per day; a day without data has none. */
  readonly values: readonly (number | undefined)[];
}

export interface DailyCost {
  readonly date: Day;
  readonly name: string;
  readonly cost: number;
}

export const OTHER = "Other";
const COLORS = 7;

/** Names whose colour has a meaning: what no cluster runs is grey, idle is pale. */
const MEANING: Record<string, string> = { [OTHER]: "var(--series-other)", "Out of clusters": "var(--series-outside)", __idle__: "var(--series-idle)" };

/** Sum `costs` into at most `most` series over `days`, largest first. */
export function toSeries(costs: readonly DailyCost[], days: readonly Day[], most = COLORS): Series[] {
  const position = new Map(days.map((day, index) => [day, index]));
  const totals = new Map<string, number>();
  for (const { name, cost } of costs) totals.set(name, (totals.get(name) ?? 0) + cost);
  const ranked = [...totals].sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]) || a[0].localeCompare(b[0])).map(([name]) => name);
  const own = new Set(ranked.slice(0, ranked.length > most ? most - 1 : most));

  const values = new Map<string, (number | undefined)[]>();
  for (const { date, name, cost } of costs) {
    const index = position.get(date);
    if (index === undefined) continue;
    const label = own.has(name) ? name : OTHER;
    const row = values.get(label) ?? new Array<number | undefined>(days.length).fill(undefined);
    row[index] = (row[index] ?? 0) + cost;
    values.set(label, row);
  }
  let next = 0;
  const inOrder = [...ranked.filter((name) => own.has(name)), ...(own.size < ranked.length ? [OTHER] : [])];
  return inOrder.map((name) => {
    const row = values.get(name) ?? [];
    const color = MEANING[name] ?? `var(--series-${(next++ % COLORS) + 1})`;
    return { name, color, values: row, total: row.reduce<number>((sum, value) => sum + (value ?? 0), 0) };
  });
}
