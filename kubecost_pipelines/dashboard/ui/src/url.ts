/** The address: every view is a query string, so that it can be shared, bookmarked and gone back to. */

import { useEffect, useState } from "preact/hooks";

export type Query = Readonly<Record<string, string>>;

/** Names that go with the person from view to view. */
const KEPT = ["window"];

function read(): Query {
  return Object.fromEntries(new URLSearchParams(location.search));
}

/** `?view=…` of `query`, without what is empty. */
export function address(query: Query): string {
  const given = Object.entries(query).filter(([, value]) => value !== "");
  const text = new URLSearchParams(given).toString();
  return text ? `/?${text}` : "/";
}

/** The address of another view in the same window. */
export function toView(view: string, more: Query = {}): string {
  const kept = Object.entries(read()).filter(([name]) => KEPT.includes(name));
  return address({ ...(view === "overview" ? {} : { view }), ...Object.fromEntries(kept), ...more });
}

/** The address of this view with some names changed; `""` takes one away. */
export function withChange(change: Query): string {
  return address({ ...read(), ...change });
}

export function go(to: string, replace = false): void {
  history[replace ? "replaceState" : "pushState"](null, "", to);
  dispatchEvent(new PopStateEvent("popstate"));
}

/** The query of the address; the component is drawn again when it changes. */
export function useQuery(): Query {
  const [query, set] = useState(read);
  useEffect(() => {
    const changed = () => set(read());
    addEventListener("popstate", changed);
    return () => removeEventListener("popstate", changed);
  }, []);
  return query;
}

/** Follow a link inside the page without loading it again; a modifier key still opens a tab. */
export function follow(event: MouseEvent): void {
  const link = (event.target as Element | null)?.closest?.("a");
  const isPlain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
  if (!link || !isPlain || link.target || link.origin !== location.origin) return;
  if (link.pathname !== "/" || link.hash) return;
  event.preventDefault();
  go(link.pathname + link.search);
}
