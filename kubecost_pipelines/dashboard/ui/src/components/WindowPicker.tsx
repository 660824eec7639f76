/** WindowPicker: the days that every figure of the view is about. */

import { useState } from "preact/hooks";

import { addDays } from "../format";
import { go, withChange } from "../url";
import { PRESETS, type Window } from "../window";

export function WindowPicker({ word, window }: { word: string; window: Window }) {
  const isPreset = PRESETS.some(([key]) => key === word);
  const [isOpen, setOpen] = useState(!isPreset);
  const choose = (next: string) => go(withChange({ window: next }));
  const given = (start: string, last: string) => start && last && start <= last && choose(`${start},${addDays(last, 1)}`);
  return (
    <div class="window-picker">
      <div class="segments" role="group" aria-label="Days">
        {PRESETS.map(([key, text]) => (
          <button key={key} aria-pressed={key === word} onClick={() => (setOpen(false), choose(key))}>
            {text}
          </button>
        ))}
        <button aria-pressed={!isPreset} aria-expanded={isOpen} onClick={() => setOpen((now) => !now)}>
          Dates…
        </button>
      </div>
      {isOpen && (
        <div class="dates">
          <label>
            <span>From</span>
            <input type="date" value={window.start} onChange={(event) => given(event.currentTarget.value, addDays(window.end, -1))} />
          </label>
          <label>
            <span>to</span>
            <input type="date" value={addDays(window.end, -1)} onChange={(event) => given(window.start, event.currentTarget.value)} />
          </label>
        </div>
      )}
    </div>
  );
}
