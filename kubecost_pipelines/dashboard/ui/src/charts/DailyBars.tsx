/** DailyBars: cost per day, stacked, provisional days hatched, with a legend that reads out the day pointed at. */

import { barY, plot, ruleY, stackY } from "@observablehq/plot";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { cost, type Day, displayName, longDay, share, shortCost, shortDay } from "../format";
import type { Series } from "./series";
import { useWidth } from "./useWidth";

interface Bar {
  date: Day;
  cost: number;
  color: string;
  isProvisional: boolean;
}

interface Props {
  /** What the chart shows, for those who do not see it. */
  readonly label: string;
  readonly days: readonly Day[];
  readonly series: readonly Series[];
  readonly currency: string;
  readonly isProvisional: (day: Day) => boolean;
  readonly height?: number;
}

export function DailyBars({ label, days, series, currency, isProvisional, height = 220 }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const drawing = useRef<HTMLDivElement>(null);
  const { width, zoom } = useWidth(frame);
  const [at, setAt] = useState<number | null>(null);
  const scale = useRef<{ left: number; step: number }>({ left: 0, step: 1 });

  const bars = useMemo<Bar[]>(
    () =>
      series.flatMap(({ color, values }) =>
        days.map((date, index) => ({ date, cost: values[index] ?? 0, color, isProvisional: isProvisional(date) })),
      ),
    [days, series, isProvisional],
  );

  useEffect(() => {
    if (!width || !drawing.current) return;
    const marginLeft = 52;
    const marginRight = 14;
    const step = (width - marginLeft - marginRight) / Math.max(1, days.length);
    const every = Math.ceil(58 / step);
    const stacked = stackY({ x: "date", y: "cost", fill: "color" });
    const chart = plot({
      width,
      height,
      marginLeft,
      marginRight,
      marginTop: 10,
      marginBottom: 24,
      className: "plot",
      x: {
        type: "band",
        domain: days,
        padding: days.length > 120 ? 0 : 0.18,
        round: false,
        label: null,
        tickSize: 0,
        tickPadding: 8,
        ticks: days.filter((_, index) => (days.length - 1 - index) % every === 0),
        tickFormat: (day: Day) => shortDay(day),
      },
      y: { label: null, grid: true, ticks: 4, tickSize: 0, nice: true, tickFormat: (value: number) => shortCost(value, currency) },
      color: { type: "identity" },
      marks: [
        barY(bars, stacked),
        barY(bars, stackY({ x: "date", y: "cost", fill: () => "url(#provisional)", filter: "isProvisional" })),
        ruleY([0], { className: "baseline" }),
      ],
    });
    scale.current = { left: marginLeft, step };
    drawing.current.replaceChildren(chart);
  }, [bars, days, width, height, currency]);

  const point = (event: PointerEvent) => {
    const box = frame.current?.getBoundingClientRect();
    if (!box) return;
    const index = Math.floor(((event.clientX - box.left) / zoom - scale.current.left) / scale.current.step);
    setAt(index >= 0 && index < days.length ? index : null);
  };
  const step = (event: KeyboardEvent) => {
    const moves: Record<string, (now: number) => number | null> = {
      ArrowLeft: (now) => Math.max(0, now - 1),
      ArrowRight: (now) => Math.min(days.length - 1, now + 1),
      Home: () => 0,
      End: () => days.length - 1,
      Escape: () => null,
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    setAt((now) => move(now ?? days.length - (event.key === "ArrowLeft" ? 0 : 1)));
  };

  const day = at === null ? undefined : days[at];
  const figures = series.map((one) => (at === null ? one.total : (one.values[at] ?? 0)));
  const total = figures.reduce((sum, figure) => sum + figure, 0);
  const heading = day ? `${longDay(day)}${isProvisional(day) ? ", provisional" : ""}` : "All days";
  return (
    <div class="daily">
      <div
        class="daily-frame"
        ref={frame}
        style={{ height: height * zoom }}
        role="group"
        aria-roledescription="chart"
        aria-label={`${label}. Left and right arrow keys read out single days.`}
        tabIndex={0}
        onPointerMove={point}
        onPointerLeave={() => setAt(null)}
        onKeyDown={step}
        onBlur={() => setAt(null)}
      >
        <div ref={drawing} aria-hidden="true" />
        {at !== null && (
          <div class="daily-cursor" style={{ left: (scale.current.left + at * scale.current.step) * zoom, width: scale.current.step * zoom }} />
        )}
      </div>
      <div class="legend" aria-live="polite">
        <div class="legend-head">
          <span>{heading}</span>
          <span class="num">{cost(total, currency)}</span>
        </div>
        <ul>
          {series.map((one, index) => (
            <li key={one.name}>
              <i style={{ background: one.color }} />
              <span class="legend-name" title={displayName(one.name)}>
                {displayName(one.name)}
              </span>
              <span class="num">{cost(figures[index] ?? 0, currency)}</span>
              <span class="num faint">{total > 0 ? share((figures[index] ?? 0) / total) : "–"}</span>
            </li>
          ))}
        </ul>
        {days.some(isProvisional) && (
          <p class="legend-note">
            <i class="hatched" /> provisional: the bill is not complete yet
          </p>
        )}
      </div>
    </div>
  );
}
