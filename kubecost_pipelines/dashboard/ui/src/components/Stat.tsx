/** Stat: one figure that answers one question. */

import type { ComponentChildren } from "preact";

interface Props {
  readonly label: string;
  readonly figure: ComponentChildren;
  readonly note?: ComponentChildren;
  readonly tone?: "good" | "warn" | "bad";
}

export function Stat({ label, figure, note, tone }: Props) {
  return (
    <div class={`stat ${tone ?? ""}`}>
      <dt>{label}</dt>
      <dd class="figure">{figure}</dd>
      {note && <dd class="stat-note">{note}</dd>}
    </div>
  );
}
