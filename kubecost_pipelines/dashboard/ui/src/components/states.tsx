/** States: what a reader sees when there is nothing to show: waiting, nothing there, or something wrong. */

import type { ComponentChildren } from "preact";

import type { ApiError } from "../api";
import { Icon } from "./Icon";

export function Loading({ lines }: { lines: number }) {
  return (
    <div class="loading" role="status">
      <span class="sr">Loading</span>
      {Array.from({ length: lines }, (_, index) => (
        <i key={index} style={{ width: `${92 - ((index * 37) % 45)}%` }} />
      ))}
    </div>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <div class="empty">{children ?? "Nothing was found in these days."}</div>;
}

export function Failed({ error, hasOld, retry }: { error: ApiError; hasOld: boolean; retry: () => void }) {
  return (
    <div class="failed" role="alert">
      <Icon name="fail" />
      <div>
        <p>{error.message}</p>
        {hasOld && <p class="faint">Below is what was known before.</p>}
      </div>
      <button onClick={retry}>Try again</button>
    </div>
  );
}
