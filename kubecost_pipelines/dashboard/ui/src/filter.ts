/** Kubecost's filter language, as the API reads it. */

/** A value as a filter has it: of all that a name may hold, `"` and `\` alone would be read otherwise. */
export function quoted(value: string): string {
  return `"${value.replace(/["\\]/g, "\\$&")}"`;
}
