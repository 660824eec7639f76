/** Format: how money, shares, amounts and days are written, everywhere the same. */

const MINUS = "\u2212";
const DAY_MS = 86_400_000;

/** Less than this is what floating-point sums leave over, not a cost. */
const DUST = 1e-7;

/** A day as the API writes it: `2026-11-24`, UTC. */
export type Day = string;

function number(options: Intl.NumberFormatOptions): Intl.NumberFormat {
  return new Intl.NumberFormat("en-US", options);
}

const twoDecimals = new Map<string, Intl.NumberFormat>();

function money(currency: string): Intl.NumberFormat {
  let found = twoDecimals.get(currency);
  if (!found) {
    found = number({ style: "currency", currency, currencyDisplay: "narrowSymbol" });
    twoDecimals.set(currency, found);
  }
  return found;
}

/** `$1,234.50`; nothing that is not zero is written as zero. */
export function cost(value: number, currency: string): string {
  if (Math.abs(value) < DUST) return money(currency).format(0);
  if (Math.abs(value) < 0.005) return `${value < 0 ? MINUS : ""}<${money(currency).format(0.01)}`;
  return money(currency).format(value).replace("-", MINUS);
}

/** `+$1.20` or `−$1.20`: what is added to an estimate always carries its sign. */
export function signedCost(value: number, currency: string): string {
  return value >= DUST ? `+${cost(value, currency)}` : cost(value, currency);
}

/** Whether there is anything to show. */
export function isNothing(value: number): boolean {
  return Math.abs(value) < DUST;
}

/** `$1.2K`, for axes. */
export function shortCost(value: number, currency: string): string {
  const digits = Math.abs(value) < 10 && value % 1 !== 0 ? 2 : 1;
  const style = { style: "currency", currency, currencyDisplay: "narrowSymbol", notation: "compact" } as const;
  return number({ ...style, minimumFractionDigits: 0, maximumFractionDigits: digits }).format(value).replace("-", MINUS);
}

/** `42%`; `0.4%` below one. */
export function share(value: number): string {
  const percent = value * 100;
  const digits = percent !== 0 && Math.abs(percent) < 1 ? 1 : 0;
  return `${number({ maximumFractionDigits: digits }).format(percent).replace("-", MINUS)}%`;
}

/** `+12%`. */
export function change(value: number): string {
  return value > 0 ? `+${share(value)}` : share(value);
}

/** `1,234`. */
export function count(value: number): string {
  return number({ maximumFractionDigits: 0 }).format(value);
}

/** `3 days`, `1 day`. */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

export function addDays(day: Day, days: number): Day {
  return new Date(Date.parse(`${day}T00:00:00Z`) + days * DAY_MS).toISOString().slice(0, 10);
}

export function daysBetween(first: Day, last: Day): number {
  return Math.round((Date.parse(last) - Date.parse(first)) / DAY_MS);
}

/** Every day of `[start, end)`. */
export function daysOf(start: Day, end: Day): Day[] {
  return Array.from({ length: Math.max(0, daysBetween(start, end)) }, (_, index) => addDays(start, index));
}

function dateText(day: Day, options: Intl.DateTimeFormatOptions): string {
  return new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options }).format(new Date(`${day}T00:00:00Z`));
}

/** `24 Nov`. */
export function shortDay(day: Day): string {
  return dateText(day, { day: "numeric", month: "short" });
}

/** `Tue 24 Nov 2026`. */
export function longDay(day: Day): string {
  return dateText(day, { weekday: "short", day: "numeric", month: "short", year: "numeric" }).replace(",", "");
}

/** `November`. */
export function monthName(day: Day): string {
  return dateText(day, { month: "long" });
}

/** `11 – 24 Nov 2026` for the half-open `[start, end)`. */
export function span(start: Day, end: Day): string {
  const last = addDays(end, -1);
  if (start === last) return longDay(start);
  const sameMonth = start.slice(0, 7) === last.slice(0, 7);
  const from = sameMonth ? dateText(start, { day: "numeric" }) : shortDay(start);
  return `${from} – ${dateText(last, { day: "numeric", month: "short", year: "numeric" })}`;
}

/** `3 hours ago`, from an instant. */
export function ago(instant: string, now = Date.now()): string {
  const minutes = Math.max(0, Math.round((now - Date.parse(instant)) / 60_000));
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${plural(minutes, "minute")} ago`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${plural(hours, "hour")} ago` : `${plural(Math.round(hours / 24), "day")} ago`;
}

/** What Kubecost's special names mean to a reader. */
export function displayName(name: string): string {
  const special: Record<string, string> = {
    __idle__: "Idle",
    __unallocated__: "Unallocated",
    __unmounted__: "Unmounted volumes",
    __external__: "External",
    __shared__: "Shared",
    __undefined__: "Undefined",
    "": "Undefined",
  };
  return name
    .split("/")
    .map((part) => special[part] ?? part)
    .join(" / ");
}

export function isSpecial(name: string): boolean {
  return name.split("/").some((part) => part.startsWith("__") && part.endsWith("__"));
}
