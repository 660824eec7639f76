/** QueryDialog: the same figures in SQL, for DuckDB on the lake's files and for Athena. */

import { useState } from "preact/hooks";

import { useAnswer } from "../api";
import type { Queries } from "../types";
import { Dialog } from "./Dialog";
import { Icon } from "./Icon";
import { Segments } from "./Segments";
import { Failed, Loading } from "./states";

export function QueryDialog({ query, close }: { query: string; close: () => void }) {
  const answer = useAnswer<Queries>(`/dashboard/query?${query}`);
  const [engine, setEngine] = useState<"duckdb" | "athena">("duckdb");
  const [isCopied, setCopied] = useState(false);
  const text = answer.data?.[engine] ?? "";
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };
  return (
    <Dialog title="The query behind these figures" close={close}>
      {answer.error && <Failed error={answer.error} hasOld={false} retry={answer.retry} />}
      {answer.isLoading && <Loading lines={8} />}
      {answer.data && (
        <>
          <div class="query-tools">
            <Segments
              label="Engine"
              value={engine}
              options={[
                ["duckdb", "DuckDB"],
                ["athena", "Athena"],
              ]}
              onChange={setEngine}
            />
            <button onClick={copy}>
              <Icon name={isCopied ? "check" : "copy"} /> {isCopied ? "Copied" : "Copy"}
            </button>
          </div>
          <pre class="sql" tabIndex={0} aria-label={`${engine === "duckdb" ? "DuckDB" : "Athena"} SQL`}>
            {text}
          </pre>
        </>
      )}
    </Dialog>
  );
}
