/** Panel: a titled part of a view; its figures as CSV and as a query are two clicks away. */

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

import type { ApiError } from "../api";
import { Icon } from "./Icon";
import { QueryDialog } from "./QueryDialog";
import { Empty, Failed, Loading } from "./states";

interface Answered {
  readonly data?: unknown;
  readonly error?: ApiError;
  readonly isLoading: boolean;
  readonly retry: () => void;
}

interface Props {
  readonly title: string;
  readonly note?: ComponentChildren;
  /** Controls beside the title. */
  readonly controls?: ComponentChildren;
  readonly answers: readonly Answered[];
  readonly isEmpty?: boolean;
  readonly empty?: ComponentChildren;
  /** Saves what is shown. */
  readonly onCsv?: () => void;
  /** Query string of `/dashboard/query`. */
  readonly query?: string;
  readonly class?: string;
  readonly lines?: number;
  readonly children: ComponentChildren;
}

export function Panel(props: Props) {
  const [isAsking, setAsking] = useState(false);
  const failed = props.answers.find((answer) => answer.error);
  const isWaiting = props.answers.some((answer) => answer.data === undefined && answer.isLoading);
  const isStale = props.answers.some((answer) => answer.data !== undefined && answer.isLoading);
  const hasAll = props.answers.every((answer) => answer.data !== undefined);
  const isUsable = hasAll && !props.isEmpty;
  const retry = () => props.answers.forEach((answer) => answer.error && answer.retry());
  return (
    <section class={`panel ${props.class ?? ""}`} aria-busy={isWaiting || isStale}>
      <header class="panel-head">
        <div>
          <h2>{props.title}</h2>
          {props.note && <p class="note">{props.note}</p>}
        </div>
        <div class="panel-tools">
          {props.controls}
          <span class="tool-pair">
          {props.onCsv && (
            <button class="tool" onClick={props.onCsv} disabled={!isUsable} title="Save these figures as CSV">
              <Icon name="download" /> CSV<span class="sr"> of {props.title}</span>
            </button>
          )}
          {props.query !== undefined && (
            <button class="tool" onClick={() => setAsking(true)} title="Show the query behind these figures">
              <Icon name="query" /> Query<span class="sr"> behind {props.title}</span>
            </button>
          )}
          </span>
        </div>
      </header>
      {failed?.error && <Failed error={failed.error} hasOld={hasAll} retry={retry} />}
      {isWaiting && !failed && <Loading lines={props.lines ?? 5} />}
      {hasAll && (props.isEmpty ? <Empty>{props.empty}</Empty> : <div class={isStale ? "stale" : ""}>{props.children}</div>)}
      {isAsking && props.query !== undefined && <QueryDialog query={props.query} close={() => setAsking(false)} />}
    </section>
  );
}
