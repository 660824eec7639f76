/** Calendar: which days of a bill or cluster are there, a square each, a row per month. */

import { type Day, longDay, plural } from "../format";
import type { DayState } from "../types";

const WORDS: Record<DayState, string> = {
  settled: "settled",
  provisional: "provisional",
  late: "not there yet",
  missing: "missing",
};

export function Calendar({ days, title }: { days: readonly { date: Day; state: DayState }[]; title: string }) {
  const counted = (Object.keys(WORDS) as DayState[])
    .map((state) => [state, days.filter((day) => day.state === state).length] as const)
    .filter(([, many]) => many > 0);
  const missing = days.filter((day) => day.state === "missing").map((day) => longDay(day.date));
  const months = Map.groupBy(days, (day) => day.date.slice(0, 7));
  const spoken = `${title}: ${counted.map(([state, many]) => `${plural(many, "day")} ${WORDS[state]}`).join(", ")}`;
  return (
    <div class="calendar">
      <div role="img" aria-label={missing.length ? `${spoken}. Missing: ${missing.slice(0, 20).join(", ")}` : spoken}>
        {[...months].map(([month, own]) => (
          <div class="calendar-row" key={month}>
            <span class="calendar-month">{monthLabel(month)}</span>
            <div class="calendar-days">
              {own.map((day) => (
                <i
                  key={day.date}
                  class={day.state}
                  style={{ gridColumn: Number(day.date.slice(8)) }}
                  title={`${longDay(day.date)}: ${WORDS[day.state]}`}
                />
              ))}
            </div>
          </div>
        ))}
      </div>
      <p class="calendar-key">
        {counted.map(([state, many]) => (
          <span key={state}>
            <i class={state} /> {many} {WORDS[state]}
          </span>
        ))}
      </p>
    </div>
  );
}

function monthLabel(month: string): string {
  const date = new Date(`${month}-01T00:00:00Z`);
  return new Intl.DateTimeFormat("en-GB", { month: "short", year: "numeric", timeZone: "UTC" }).format(date);
}
