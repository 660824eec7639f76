/** Why: how one pod's, namespace's or asset's cost of a day came about, down to the rows of the bill. */

import { useAnswer, url } from "../api";
import type { ViewProps } from "../App";
import { Waterfall } from "../charts/Waterfall";
import { Badge } from "../components/Badge";
import { Icon } from "../components/Icon";
import { Panel } from "../components/Panel";
import { type Column, saveTable, Table } from "../components/Table";
import { addDays, cost, longDay, plural, share, signedCost } from "../format";
import { RULES } from "../rules";
import type { BillRow, ExplainedAsset, Explanation } from "../types";
import { go, toView, withChange } from "../url";

export default function Why({ context, query }: ViewProps) {
  const last = context.last_day ?? context.today;
  const date = query.date || context.settled_until || last;
  const { cluster = "", namespace = "", pod = "", asset = "", type = "" } = query;
  const subject = pod || asset || namespace || cluster;
  const answer = useAnswer<Explanation>(url("/dashboard/explain", { cluster, date, namespace, pod, asset, type }));
  const explained = answer.data;
  const rows = explained?.assets.flatMap((one) => one.bill_rows.map((row) => ({ ...row, asset: one.name }))) ?? [];
  const back = asset ? toView("assets") : toView("workloads", { cluster, namespace, group: "pod" });
  const money = (value: number) => cost(value, context.currency);
  const columns = billColumns(context.currency);
  const choose = (day: string) => day && go(withChange({ date: day }), true);
  return (
    <>
      <nav class="crumbs" aria-label="Where this is">
        <a href={back}>{asset ? "Assets" : "Workloads"}</a>
        {[cluster, namespace, pod || asset].filter(Boolean).map((name) => (
          <span class="crumb" key={name}>
            <Icon name="right" /> {name}
          </span>
        ))}
      </nav>
      <Panel
        title={`Why does ${subject} cost what it does?`}
        note={explained ? <State explained={explained} /> : undefined}
        controls={
          <span class="day-picker">
            <button onClick={() => choose(addDays(date, -1))} aria-label="The day before" disabled={date <= (context.first_day ?? "")}>
              ‹
            </button>
            <input type="date" aria-label="Day" value={date} min={context.first_day ?? ""} max={last} onChange={(event) => choose(event.currentTarget.value)} />
            <button onClick={() => choose(addDays(date, 1))} aria-label="The day after" disabled={date >= last}>
              ›
            </button>
          </span>
        }
        answers={[answer]}
        isEmpty={explained?.assets.length === 0}
        empty={`${subject} cost nothing on ${longDay(date)}. Choose another day.`}
        onCsv={() => saveTable(`why-${subject}-${date}`, columns, rows)}
        query={new URLSearchParams({ view: "why", date, cluster, namespace, pod, asset, type }).toString()}
      >
        <Waterfall steps={explained?.steps ?? []} currency={context.currency} label={`From estimate to cost of ${subject}`} />
      </Panel>
      {explained && explained.assets.length > 0 && (
        <section class="panel">
          <header class="panel-head">
            <div>
              <h2>Which assets, and which rows of the bill, are behind it?</h2>
              <p class="note">
                {plural(explained.assets.length, "asset")}, {plural(rows.length, "bill row")}. An asset’s cost is its rows’ cost; the share is what {subject} used of it.
              </p>
            </div>
          </header>
          <div class="reasons">
            {explained.assets.map((one, index) => (
              <details key={one.asset_id} open={index === 0 || explained.assets.length <= 3}>
                <summary>
                  <span class="reason-name">
                    {one.name} <span class="faint">{one.asset_type}</span>
                  </span>
                  <span class="num">
                    {money(one.share_cost)}
                    <span class="faint"> {one.share < 0.9995 ? `${share(one.share)} of ${money(one.total_cost)}` : "all of it"}</span>
                  </span>
                </summary>
                <Asset asset={one} currency={context.currency} columns={columns} />
              </details>
            ))}
          </div>
        </section>
      )}
    </>
  );
}

function State({ explained }: { explained: Explanation }) {
  return explained.is_settled ? (
    <>{longDay(explained.date)} is settled: its bill is complete.</>
  ) : (
    <>{longDay(explained.date)} is provisional until its bill is complete: nodes stand at their latest billed price, the rest as estimated.</>
  );
}

function Asset({ asset, currency, columns }: { asset: ExplainedAsset; currency: string; columns: Column<BillRow>[] }) {
  return (
    <div class="reason">
      <dl class="facts">
        <div>
          <dt>Estimate</dt>
          <dd>{cost(asset.cost, currency)}</dd>
        </div>
        <div>
          <dt>Adjustment</dt>
          <dd>{asset.adjustment ? signedCost(asset.adjustment, currency) : "–"}</dd>
        </div>
        <div>
          <dt>Total</dt>
          <dd>{cost(asset.total_cost, currency)}</dd>
        </div>
        <div>
          <dt>Found by</dt>
          <dd>{asset.match_rule ? (RULES[asset.match_rule] ?? asset.match_rule) : <Badge tone="warn">not on a bill</Badge>}</dd>
        </div>
        <div>
          <dt>Provider id</dt>
          <dd class="id">{asset.provider_id ?? "–"}</dd>
        </div>
      </dl>
      {asset.bill_rows.length > 0 ? (
        <Table caption={`Bill rows of ${asset.name}`} columns={columns} rows={asset.bill_rows} rowKey={(row) => JSON.stringify(row)} />
      ) : (
        <p class="note">{asset.adjustment ? "Its bill is not complete yet: it stands at its latest billed price." : "No row of a bill names this asset, so its estimate is its cost."}</p>
      )}
    </div>
  );
}

function billColumns(currency: string): Column<BillRow>[] {
  return [
    { title: "Meter", value: (row) => row.sku_meter, show: (row) => row.sku_meter || <span class="faint">–</span> },
    { title: "Service", value: (row) => row.service_name, isMinor: true },
    { title: "Charge", isLeast: true, value: (row) => row.charge_type || row.charge_category },
    { title: "Bill", value: (row) => row.provider_key, isMinor: true },
    { title: "Lines", isNumber: true, isMinor: true, value: (row) => row.line_items },
    { title: "List", isNumber: true, isMinor: true, value: (row) => row.list_cost, show: (row) => cost(Number(row.list_cost), currency) },
    { title: "Billed", isNumber: true, value: (row) => row.billed_cost, show: (row) => cost(Number(row.billed_cost), currency) },
    { title: "Effective", isNumber: true, value: (row) => row.effective_cost, show: (row) => <strong>{cost(Number(row.effective_cost), currency)}</strong> },
  ];
}
