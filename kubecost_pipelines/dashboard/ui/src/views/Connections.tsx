/** Connections: every bill and cluster: can it be read, which days are there, and what to do. */

import { useEffect, useState } from "preact/hooks";

import { type ApiError, type Envelope, send, forgetAnswers, useAnswer, url } from "../api";
import type { ViewProps } from "../App";
import { Badge, type Tone } from "../components/Badge";
import { Calendar } from "../components/Calendar";
import { Dialog } from "../components/Dialog";
import { Icon } from "../components/Icon";
import { Panel } from "../components/Panel";
import { saveTable } from "../components/Table";
import { Failed, Loading } from "../components/states";
import { addDays, ago, longDay, plural, shortDay } from "../format";
import type { Connection, Plan, Progress } from "../types";
import { go, withChange } from "../url";

const STATUS: Record<string, [Tone, string]> = {
  SUCCESSFUL_CONNECTION: ["good", "Connected"],
  MISSING_DATA: ["warn", "No data yet"],
  INITIAL_STATUS: ["plain", "Not checked yet"],
  MISSING_CONFIGURATION: ["bad", "Not configured"],
  INCOMPLETE_CONFIGURATION: ["bad", "Configuration incomplete"],
  FAILED_CONNECTION: ["bad", "Cannot connect"],
  UP_TO_DATE: ["good", "Up to date"],
  BEHIND: ["warn", "Behind"],
  EMPTY: ["warn", "No day yet"],
};

export default function Connections({ context, query }: ViewProps) {
  const answer = useAnswer<{ connections: Connection[] }>("/dashboard/connections", 30);
  const all = answer.data?.connections ?? [];
  const subject = all.find((one) => one.key === query.repair && context.can_operate);
  const running = query.operation ?? "";
  const columns = [
    { title: "Connection", value: (row: Flat) => row.key },
    { title: "Status", value: (row: Flat) => row.status },
    { title: "Date", value: (row: Flat) => row.date },
    { title: "State", value: (row: Flat) => row.state },
  ];
  const group = (kind: Connection["kind"], title: string, note: string, empty: string) => {
    const own = all.filter((one) => one.kind === kind);
    const bad = own.filter((one) => STATUS[one.status]?.[0] !== "good").length;
    return (
      <Panel
        title={title}
        note={bad ? `${plural(bad, kind === "store" ? "bill needs" : "cluster needs", kind === "store" ? "bills need" : "clusters need")} attention.` : note}
        answers={[answer]}
        isEmpty={own.length === 0}
        empty={empty}
        onCsv={() => saveTable(`${kind}-coverage`, columns, own.flatMap(flat))}
        query={`view=connections&kind=${kind}`}
      >
        <div class="cards">
          {own.map((one) => (
            <Card key={one.key} connection={one} canOperate={context.can_operate} />
          ))}
        </div>
      </Panel>
    );
  };
  return (
    <>
      {running && <Running id={running} />}
      {group("store", "Can every bill be read, and which days are there?", "Every bill can be read.", "No bill is configured. Add one under cloud_stores in the settings.")}
      {group("cluster", "Is every cluster collected, and which days are there?", "Every cluster is up to date.", "No cluster is configured. Add one under clusters in the settings.")}
      {subject && <Repair connection={subject} last={context.last_day ?? context.today} first={context.first_day ?? context.today} />}
    </>
  );
}

interface Started extends Envelope<string> {
  backfill: { id: string };
}

interface Flat {
  key: string;
  status: string;
  date: string;
  state: string;
}

function flat(one: Connection): Flat[] {
  return one.days.map((day) => ({ key: one.key, status: one.status, date: day.date, state: day.state }));
}

function Card({ connection, canOperate }: { connection: Connection; canOperate: boolean }) {
  const [tone, words] = STATUS[connection.status] ?? ["plain", connection.status];
  return (
    <article class={`card ${tone}`}>
      <header>
        <div>
          <h3>{connection.title}</h3>
          {connection.key !== connection.title && <p class="faint id">{connection.key}</p>}
        </div>
        <Badge tone={tone} title={connection.status}>
          {words}
        </Badge>
      </header>
      {connection.detail && <p class="detail">{connection.detail}</p>}
      {connection.cure && (
        <p class="cure">
          <strong>What to do</strong> {connection.cure}
        </p>
      )}
      <Calendar days={connection.days} title={`Days of ${connection.title}`} />
      <footer>
        <span class="faint">
          {connection.checked_at && `Checked ${ago(connection.checked_at)}`}
          {connection.since && tone !== "good" && `, so since ${shortDay(connection.since.slice(0, 10))}`}
        </span>
        {canOperate && (
          <a class="button" href={withChange({ repair: connection.key })}>
            Repair or rebuild…<span class="sr"> {connection.title}</span>
          </a>
        )}
      </footer>
    </article>
  );
}

const PIPELINES = {
  store: [
    ["cloud-assets", "Read the bill again"],
    ["reconciliation", "Reconcile again"],
  ],
  cluster: [["allocations", "Read the cluster again"]],
} as const;

/** Choose, see what will run, confirm. Nothing runs before the last click. */
function Repair({ connection, first, last }: { connection: Connection; first: string; last: string }) {
  const pipelines = PIPELINES[connection.kind];
  const [pipeline, setPipeline] = useState<string>(pipelines[0][0]);
  const [isWhole, setWhole] = useState(false);
  const [from, setFrom] = useState(addDays(last, -6) < first ? first : addDays(last, -6));
  const [to, setTo] = useState(last);
  const [failure, setFailure] = useState<ApiError | null>(null);
  const [isSending, setSending] = useState(false);
  const close = () => go(withChange({ repair: "" }), true);
  const plan = useAnswer<Plan>(
    url("/dashboard/plan", {
      operation: isWhole ? "rebuild" : "repair",
      pipeline,
      key: connection.key,
      ...(isWhole ? {} : { window: `${from}T00:00:00Z,${addDays(to, 1)}T00:00:00Z` }),
    }),
  );
  const run = async () => {
    if (!plan.data) return;
    setSending(true);
    setFailure(null);
    try {
      const started = await send<Started>(url(plan.data.path, plan.data.parameters), { method: "POST" });
      go(withChange({ repair: "", operation: started.backfill.id }));
    } catch (error) {
      setFailure(error as ApiError);
      setSending(false);
    }
  };
  return (
    <Dialog title={`Repair or rebuild ${connection.title}`} close={close}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void run();
        }}
      >
        <fieldset>
          <legend>What</legend>
          {pipelines.map(([key, text]) => (
            <label key={key}>
              <input type="radio" name="pipeline" checked={pipeline === key} onChange={() => setPipeline(key)} /> {text}
            </label>
          ))}
        </fieldset>
        <fieldset>
          <legend>Which days</legend>
          <label>
            <input type="radio" name="days" checked={!isWhole} onChange={() => setWhole(false)} /> These
          </label>
          <span class="dates">
            <input type="date" aria-label="First day" value={from} max={to} disabled={isWhole} onChange={(event) => event.currentTarget.value && setFrom(event.currentTarget.value)} />
            <span>to</span>
            <input type="date" aria-label="Last day" value={to} min={from} disabled={isWhole} onChange={(event) => event.currentTarget.value && setTo(event.currentTarget.value)} />
          </span>
          <label>
            <input type="radio" name="days" checked={isWhole} onChange={() => setWhole(true)} /> All, from the first day on
          </label>
        </fieldset>
        <div class="plan" aria-live="polite">
          <h3>What will run</h3>
          {plan.error && <Failed error={plan.error} hasOld={false} retry={plan.retry} />}
          {plan.isLoading && <Loading lines={3} />}
          {plan.data && !plan.error && (
            <>
              <p>{plan.data.sentence}</p>
              <ul>
                {plan.data.assets.map((asset) => (
                  <li key={asset.key}>
                    <code>{asset.key}</code> <span class="faint">{plural(asset.days, "day")}</span>
                  </li>
                ))}
              </ul>
              <p class="note">
                {longDay(plan.data.first_day)} to {longDay(plan.data.last_day)}. Each day stays as it is until its new version is complete.
              </p>
            </>
          )}
        </div>
        {failure && <Failed error={failure} hasOld={false} retry={() => void run()} />}
        <div class="dialog-actions">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={!plan.data || Boolean(plan.error) || isSending}>
            {isSending ? "Starting…" : isWhole ? "Rebuild all days" : plan.data ? `Repair ${plural(Math.max(...plan.data.assets.map((asset) => asset.days)), "day")}` : "Repair"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** What a backfill has done so far; at its end the figures are asked again. */
function Running({ id }: { id: string }) {
  const [isOver, setOver] = useState(false);
  const answer = useAnswer<Progress>(url(`/dashboard/operations/${encodeURIComponent(id)}`, {}), isOver ? 0 : 2);
  const progress = answer.data;
  useEffect(() => {
    if (!progress?.is_over || isOver) return;
    setOver(true);
    forgetAnswers();
  }, [progress?.is_over]);
  const tone: Tone = !progress ? "plain" : progress.failed ? "bad" : progress.is_over ? "good" : "plain";
  const part = progress?.total ? (progress.done + progress.failed) / progress.total : 0;
  return (
    <section class={`panel running ${tone}`} aria-label="Progress">
      <div class="running-line" role="status">
        <Badge tone={tone}>{!progress ? "Asking Dagster" : progress.is_over ? (progress.failed ? "Ended with failures" : "Done") : "Running"}</Badge>
        <span>
          Backfill <code>{id}</code>
          {progress && `: ${progress.done} of ${plural(progress.total, "partition")} done`}
          {progress && progress.failed > 0 && `, ${progress.failed} failed`}
        </span>
        {progress?.url && (
          <a href={progress.url} target="_blank" rel="noreferrer">
            Open in Dagster <Icon name="link" />
          </a>
        )}
        {progress?.is_over && (
          <button class="bare" aria-label="Hide this" onClick={() => go(withChange({ operation: "" }), true)}>
            <Icon name="close" />
          </button>
        )}
      </div>
      {answer.error && <Failed error={answer.error} hasOld={Boolean(progress)} retry={answer.retry} />}
      <progress max={1} value={part} aria-label="Partitions done" />
    </section>
  );
}
