/** Waterfall: from the estimate, by what was added and taken away, to the billed cost. */

import { barX, plot, ruleX, text } from "@observablehq/plot";
import { useEffect, useRef } from "preact/hooks";

import { cost, shortCost, signedCost } from "../format";
import { useWidth } from "./useWidth";

export interface Step {
  readonly name: string;
  /** A total stands on zero; a change starts where the step before ended. */
  readonly kind: "total" | "change";
  readonly cost: number;
}

interface Placed extends Step {
  x1: number;
  x2: number;
  color: string;
  figure: string;
}

function place(steps: readonly Step[], currency: string): Placed[] {
  let reached = 0;
  return steps.map((step) => {
    const x1 = step.kind === "total" ? 0 : reached;
    const x2 = step.kind === "total" ? step.cost : reached + step.cost;
    reached = x2;
    const color = step.kind === "total" ? "var(--series-1)" : step.cost < 0 ? "var(--less)" : "var(--more)";
    const figure = step.kind === "total" ? cost(step.cost, currency) : signedCost(step.cost, currency);
    return { ...step, x1, x2, color, figure };
  });
}

export function Waterfall({ steps, currency, label }: { steps: readonly Step[]; currency: string; label: string }) {
  const frame = useRef<HTMLDivElement>(null);
  const drawing = useRef<HTMLDivElement>(null);
  const { width, zoom } = useWidth(frame);
  const height = steps.length * 34 + 30;

  useEffect(() => {
    if (!width || !drawing.current) return;
    const placed = place(steps, currency);
    const names = placed.map((_, index) => index);
    const room = Math.min(220, Math.max(136, width * 0.3));
    const chart = plot({
      width,
      height,
      marginLeft: room,
      marginRight: 78,
      marginTop: 4,
      marginBottom: 26,
      className: "plot",
      x: { label: null, grid: true, ticks: width < 500 ? 3 : 5, tickSize: 0, tickFormat: (value: number) => shortCost(value, currency), zero: true },
      y: { type: "band", domain: names, label: null, padding: 0.3, tickSize: 0, tickPadding: 10, tickFormat: (index: number) => fit(placed[index]?.name ?? "", room) },
      color: { type: "identity" },
      marks: [
        barX(placed, { y: (_, index) => index, x1: "x1", x2: "x2", fill: "color" }),
        ruleX(placed.slice(0, -1), { x: "x2", y1: (_, index) => index, y2: (_, index) => index + 1, className: "connector" }),
        text(placed, { y: (_, index) => index, x: (step: Placed) => Math.max(step.x1, step.x2), text: "figure", textAnchor: "start", dx: 8, className: "figure" }),
        ruleX([0], { className: "baseline" }),
      ],
    });
    drawing.current.replaceChildren(chart);
  }, [steps, currency, width, height]);

  const spoken = place(steps, currency).map((step) => `${step.name} ${step.figure}`).join("; ");
  return (
    <div ref={frame} class="waterfall" style={{ minHeight: height * zoom }} role="img" aria-label={`${label}: ${spoken}`}>
      <div ref={drawing} aria-hidden="true" />
    </div>
  );
}

function fit(name: string, room: number): string {
  const letters = Math.floor((room - 10) / 6.6);
  return name.length > letters ? `${name.slice(0, letters - 1)}…` : name;
}
