/** Icon: line drawings of 16 units, in the colour of the text beside them. */

const PATHS = {
  download: "M8 2v8M4.5 7 8 10.5 11.5 7M2.5 13.5h11",
  query: "M5.5 4 2 8l3.5 4M10.5 4 14 8l-3.5 4",
  close: "M3.5 3.5l9 9M12.5 3.5l-9 9",
  copy: "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z",
  sun: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6M8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1",
  moon: "M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7z",
  check: "M3 8.5 6.5 12 13 4.5",
  warn: "M8 2 1.5 13.5h13zM8 6.5v3.2M8 11.4v.4",
  fail: "M5 2h6l3 3v6l-3 3H5l-3-3V5zM5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4",
  wait: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2M8 4.8V8l2.2 1.6",
  link: "M9.5 2.5h4v4M13.5 2.5 7.5 8.5M11.5 9.5v4h-9v-9h4",
  right: "M6 3.5 10.5 8 6 12.5",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
