/** App: the frame around every view: where one is, which days, and how fresh they are. */

import { lazy, Suspense } from "preact/compat";
import { useEffect } from "preact/hooks";

import { type Answer, useAnswer } from "./api";
import { Icon } from "./components/Icon";
import { Failed, Loading } from "./components/states";
import { WindowPicker } from "./components/WindowPicker";
import { ago, daysBetween, shortDay, span } from "./format";
import { useTheme } from "./theme";
import type { Context } from "./types";
import { follow, type Query, toView, useQuery } from "./url";
import { DEFAULT_WINDOW, known, type Window, windowOf } from "./window";

export interface ViewProps {
  readonly context: Context;
  readonly query: Query;
  readonly window: Window;
}

// The charts weigh more than all the rest; the frame is there while they load.
const Overview = lazy(() => import("./views/Overview"));
const Workloads = lazy(() => import("./views/Workloads"));
const Why = lazy(() => import("./views/Why"));
const Assets = lazy(() => import("./views/Assets"));
const CloudCosts = lazy(() => import("./views/CloudCosts"));
const Connections = lazy(() => import("./views/Connections"));

const VIEWS = {
  overview: { title: "Overview", view: Overview },
  workloads: { title: "Workloads", view: Workloads },
  assets: { title: "Assets", view: Assets },
  cloud: { title: "Cloud costs", view: CloudCosts },
  connections: { title: "Connections", view: Connections },
} as const;

type ViewName = keyof typeof VIEWS;

export function App() {
  const query = useQuery();
  const [theme, turnTheme] = useTheme();
  const answer = useAnswer<Context>("/dashboard/context", 60);
  const isWhy = query.view === "why";
  const name: ViewName = isWhy ? "workloads" : (query.view ?? "") in VIEWS ? (query.view as ViewName) : "overview";
  const title = isWhy ? "Why this cost" : VIEWS[name].title;

  useEffect(() => {
    document.title = `${title} – kubecost_pipelines`;
  }, [title]);

  return (
    <div class="app" onClick={follow}>
      <a class="skip" href="#main">
        Skip to the figures
      </a>
      <svg width="0" height="0" class="sr" aria-hidden="true">
        <pattern id="provisional" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
          <rect width="3" height="6" fill="var(--hatch)" />
        </pattern>
      </svg>
      <header class="top">
        <a class="brand" href={toView("overview")}>
          <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
            <path d="M5 27V15h6v12zM13 27V5h6v22zM21 27V10h6v17z" />
          </svg>
          <span>kubecost_pipelines</span>
        </a>
        <nav aria-label="Views">
          {(Object.keys(VIEWS) as ViewName[]).map((one) => (
            <a key={one} href={toView(one)} {...(one === name ? { "aria-current": "page" as const } : {})}>
              {VIEWS[one].title}
            </a>
          ))}
        </nav>
        <div class="top-tools">
          {answer.data?.dagster_url && (
            <a class="tool" href={answer.data.dagster_url} target="_blank" rel="noreferrer">
              Dagster <Icon name="link" />
            </a>
          )}
          <button class="bare" onClick={turnTheme} aria-label={`Use the ${theme === "dark" ? "light" : "dark"} theme`}>
            <Icon name={theme === "dark" ? "sun" : "moon"} />
          </button>
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        <Body answer={answer} query={query} name={name} isWhy={isWhy} title={title} />
      </main>
    </div>
  );
}

interface BodyProps {
  readonly answer: Answer<Context>;
  readonly query: Query;
  readonly name: ViewName;
  readonly isWhy: boolean;
  readonly title: string;
}

function Body({ answer, query, name, isWhy, title }: BodyProps) {
  const { data: context, error } = answer;
  if (!context) return error ? <Failed error={error} hasOld={false} retry={answer.retry} /> : <Loading lines={8} />;
  if (!context.last_day && name !== "connections") return <FirstSteps />;

  const asked = windowOf(query.window, context.last_day ?? context.today);
  const window = known(asked, context.first_day);
  const View = isWhy ? Why : VIEWS[name].view;
  return (
    <>
      {error && <Failed error={error} hasOld retry={answer.retry} />}
      <div class="view-head">
        <div>
          <h1>{title}</h1>
          {name !== "connections" && !isWhy && <p class="note">{span(window.start, window.end)}{window.start > asked.start ? ": all days since the lake begins" : ""}</p>}
        </div>
        {name !== "connections" && !isWhy && <WindowPicker word={query.window ?? DEFAULT_WINDOW} window={window} />}
      </div>
      <Freshness context={context} />
      <Suspense fallback={<Loading lines={8} />}>
        <View context={context} query={query} window={window} />
      </Suspense>
    </>
  );
}

/** Old figures look like new ones: say it when no day came for two days. */
function Freshness({ context }: { context: Context }) {
  if (!context.last_day) return null;
  const behind = daysBetween(context.last_day, context.today) - 1;
  if (behind < 2) return null;
  return (
    <p class="banner" role="status">
      <Icon name="warn" /> The last day with costs is {shortDay(context.last_day)}, {ago(`${context.last_day}T23:59:59Z`)}.{" "}
      <a href={toView("connections")}>See which connection is behind</a>
    </p>
  );
}

function FirstSteps() {
  return (
    <div class="empty first">
      <h1>No day has been collected yet</h1>
      <p>
        The lake is empty. Check that every bill and cluster can be read, then materialise the first days: in the Dagster UI,
        or with
      </p>
      <pre>dagster asset materialize --select '*' --partition-range 2026-10-01...2026-10-31 -m kubecost_pipelines.definitions</pre>
      <p>
        <a href={toView("connections")}>See the connections</a>
      </p>
    </div>
  );
}
