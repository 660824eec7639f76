/** CSV: what a table shows, as a file. */

export type Cell = string | number | null | undefined;

/** A spreadsheet runs text that begins with one of these, unless it is a number; a quote before it keeps it text. */
const FORMULA = /^(?!-?\d+(\.\d+)?$)[=+\-@\t\r]/;

function field(cell: Cell): string {
  if (cell === null || cell === undefined) return "";
  if (typeof cell === "number") return String(cell);
  const safe = FORMULA.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export function toCsv(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  return [head, ...rows].map((row) => row.map(field).join(",")).join("\r\n") + "\r\n";
}

export function save(name: string, csv: string): void {
  const link = document.createElement("a");
  // The mark tells Excel that the file is UTF-8.
  link.href = URL.createObjectURL(new Blob(["\ufeff", csv], { type: "text/csv;charset=utf-8" }));
  link.download = `${name}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
