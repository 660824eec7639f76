/** Window: which days a view is about, `[start, end)`, from the word in the address. */

import { addDays, daysBetween, type Day } from "./format";

export interface Window {
  readonly start: Day;
  readonly end: Day;
}

export const PRESETS = [
  ["7d", "7 days"],
  ["14d", "14 days"],
  ["30d", "30 days"],
  ["90d", "90 days"],
  ["month", "This month"],
  ["lastmonth", "Last month"],
] as const;

export const DEFAULT_WINDOW = "30d";

/**
 * The days of `word`: a number of days that ends with the lake's last day, a month of the calendar, or
 * `2026-11-01,2026-11-08` (the end is not included). What cannot be read is the default.
 */
export function windowOf(word: string | undefined, lastDay: Day): Window {
  const end = addDays(lastDay, 1);
  const days = /^(\d{1,4})d$/.exec(word ?? "");
  if (days) return { start: addDays(end, -Math.max(1, Number(days[1]))), end };
  const monthStart = `${lastDay.slice(0, 7)}-01`;
  if (word === "month") return { start: monthStart, end };
  if (word === "lastmonth") return { start: `${addDays(monthStart, -1).slice(0, 7)}-01`, end: monthStart };
  const given = /^(\d{4}-\d\d-\d\d),(\d{4}-\d\d-\d\d)$/.exec(word ?? "");
  if (given?.[1] && given[2] && isDay(given[1]) && isDay(given[2]) && given[1] < given[2])
    return { start: given[1], end: given[2] };
  return windowOf(DEFAULT_WINDOW, lastDay);
}

function isDay(text: string): boolean {
  const time = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text);
}

/** The part of a window that the lake can know: it begins with the lake's first day. */
export function known(window: Window, firstDay: Day | null): Window {
  return firstDay && window.start < firstDay && firstDay < window.end ? { start: firstDay, end: window.end } : window;
}

/** As the API takes it. */
export function windowText(window: Window): string {
  return `${window.start}T00:00:00Z,${window.end}T00:00:00Z`;
}

export function dayCount(window: Window): number {
  return daysBetween(window.start, window.end);
}
