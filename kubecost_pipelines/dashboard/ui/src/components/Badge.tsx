/** Badge: a state in words, with a sign and a colour that say the same. */

import { Icon, type IconName } from "./Icon";

export type Tone = "good" | "warn" | "bad" | "plain";

const ICONS: Record<Tone, IconName> = { good: "check", warn: "warn", bad: "fail", plain: "wait" };

export function Badge({ tone, children, title }: { tone: Tone; children: string; title?: string }) {
  return (
    <span class={`badge ${tone}`} {...(title ? { title } : {})}>
      <Icon name={ICONS[tone]} />
      {children}
    </span>
  );
}

export type BilledState = "billed" | "partly" | "estimate";

const MEANS: Record<BilledState, string> = {
  billed: "Every cost here is what was billed",
  partly: "Billed where the days are settled; on the others nodes at their latest billed price, the rest as estimated",
  estimate: "Not billed yet: nodes at their latest billed price, the rest as estimated",
};

/** Whether a cost is what was billed. */
export function Reconciled({ state }: { state: BilledState }) {
  return (
    <span class={`mark ${state}`} title={MEANS[state]}>
      {state === "partly" ? "partly billed" : state}
    </span>
  );
}
