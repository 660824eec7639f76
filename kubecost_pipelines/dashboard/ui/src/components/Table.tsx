/** Table: rows that sort by any column, page by page, with figures that line up. */

import type { ComponentChildren } from "preact";
import { useMemo, useState } from "preact/hooks";

import { type Cell, save, toCsv } from "../csv";
import { count } from "../format";

export interface Column<Row> {
  readonly title: string;
  /** What is sorted and saved. */
  readonly value: (row: Row) => Cell;
  /** What is shown; the value when omitted. */
  readonly show?: (row: Row) => ComponentChildren;
  readonly isNumber?: boolean;
  /** Only on wide screens. */
  readonly isWide?: boolean;
  /** Hidden on narrow screens. */
  readonly isMinor?: boolean;
  /** Left out on a phone. */
  readonly isLeast?: boolean;
  /** Only in the CSV. */
  readonly isHidden?: boolean;
  readonly hint?: string;
  /** Drawn, not sorted and not saved. */
  readonly isFixed?: boolean;
}

interface Props<Row> {
  readonly caption: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly rowKey: (row: Row) => string;
  readonly rowClass?: (row: Row) => string;
  /** One figure per column, shown last. */
  readonly totals?: readonly ComponentChildren[];
}

const PAGE = 50;

export function saveTable<Row>(name: string, columns: readonly Column<Row>[], rows: readonly Row[]): void {
  const saved = columns.filter((column) => !column.isFixed);
  const values = rows.map((row) => saved.map((column) => column.value(row)));
  save(name, toCsv(saved.map((column) => column.title.toLowerCase().replaceAll(" ", "_")), values));
}

export function Table<Row>({ caption, columns, rows, rowKey, rowClass, totals }: Props<Row>) {
  const [sort, setSort] = useState<{ title: string; isUp: boolean } | null>(null);
  const [shown, setShown] = useState(PAGE);
  const visible = columns.filter((column) => !column.isHidden);

  const sorted = useMemo(() => {
    const by = columns.find((column) => column.title === sort?.title);
    if (!by || !sort) return rows;
    return [...rows].sort((a, b) => compare(by.value(a), by.value(b)) * (sort.isUp ? 1 : -1));
  }, [rows, columns, sort]);

  const clicked = (column: Column<Row>) =>
    setSort((now) => ({ title: column.title, isUp: now?.title === column.title ? !now.isUp : !column.isNumber }));

  return (
    <>
      <div class="scroll" role="region" aria-label={caption} tabIndex={0}>
        <table>
          <caption class="sr">{caption}</caption>
          <thead>
            <tr>
              {visible.map((column) => {
                const isBy = sort?.title === column.title;
                return (
                  <th
                    key={column.title}
                    scope="col"
                    class={classOf(column)}
                    aria-sort={isBy ? (sort?.isUp ? "ascending" : "descending") : "none"}
                  >
                    {column.isFixed ? column.title : <button onClick={() => clicked(column)} {...(column.hint ? { title: column.hint } : {})}>
                      {column.title}
                      <span class="arrow" aria-hidden="true">
                        {isBy ? (sort?.isUp ? "↑" : "↓") : ""}
                      </span>
                    </button>}
                  </th>
                );
              })}
            </tr>
          </thead>
          <tbody>
            {sorted.slice(0, shown).map((row) => (
              <tr key={rowKey(row)} class={rowClass?.(row)}>
                {visible.map((column, index) => {
                  const content = column.show ? column.show(row) : column.value(row);
                  return index === 0 ? (
                    <th key={column.title} scope="row" class={classOf(column)}>
                      {content}
                    </th>
                  ) : (
                    <td key={column.title} class={classOf(column)}>
                      {content}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
          {totals && (
            <tfoot>
              <tr>
                {visible.map((column, index) =>
                  index === 0 ? (
                    <th key={column.title} scope="row" class={classOf(column)}>
                      {totals[index]}
                    </th>
                  ) : (
                    <td key={column.title} class={classOf(column)}>
                      {totals[index]}
                    </td>
                  ),
                )}
              </tr>
            </tfoot>
          )}
        </table>
      </div>
      {rows.length > shown && (
        <button class="more" onClick={() => setShown((now) => now + 4 * PAGE)}>
          Show more: {count(shown)} of {count(rows.length)} rows are shown
        </button>
      )}
    </>
  );
}

function classOf<Row>(column: Column<Row>): string {
  return [column.isNumber ? "num" : "", column.isWide ? "wide" : "", column.isMinor ? "minor" : "", column.isLeast ? "least" : ""].join(" ").trim();
}

function compare(a: Cell, b: Cell): number {
  if (a === b) return 0;
  if (a === null || a === undefined) return -1;
  if (b === null || b === undefined) return 1;
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
}
