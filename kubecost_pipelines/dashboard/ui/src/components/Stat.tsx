/** Stat: one figure that answers one question; a dash while nobody knows it, for a nought would be an answer. */

import { type ComponentChildren, createContext } from "preact";
import { useContext } from "preact/hooks";

const Known = createContext(true);

interface Props {
  readonly label: string;
  readonly figure: ComponentChildren;
  readonly note?: ComponentChildren;
  readonly tone?: "good" | "warn" | "bad";
  /** Whether it does not wait for the answers. */
  readonly isKnown?: boolean;
}

/** The figures of a view, which come from these answers. */
export function Stats({ answers, children }: { answers: readonly { readonly data?: unknown }[]; children: ComponentChildren }) {
  return (
    <Known.Provider value={answers.every((answer) => answer.data !== undefined)}>
      <dl class="stats">{children}</dl>
    </Known.Provider>
  );
}

export function Stat({ label, figure, note, tone, isKnown = false }: Props) {
  const isShown = useContext(Known) || isKnown;
  return (
    <div class={`stat ${tone ?? ""}`}>
      <dt>{label}</dt>
      <dd class="figure">{isShown ? figure : "–"}</dd>
      {isShown && note && <dd class="stat-note">{note}</dd>}
    </div>
  );
}
