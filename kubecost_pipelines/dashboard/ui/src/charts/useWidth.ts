/** useWidth: the width that a chart is drawn in, followed as it changes, and how much larger than drawn it is shown. */

import type { RefObject } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";

const DRAWN_FOR = 14;

export function useWidth(element: RefObject<HTMLElement | null>): { width: number; zoom: number } {
  const [size, setSize] = useState({ width: 0, zoom: 1 });
  useLayoutEffect(() => {
    const watched = element.current;
    if (!watched) return;
    const measure = () => {
      // A wall of pixels has larger type: its charts are drawn for a smaller one, and shown larger.
      const zoom = Number.parseFloat(getComputedStyle(document.documentElement).fontSize) / DRAWN_FOR || 1;
      const width = Math.floor(watched.clientWidth / zoom);
      setSize((old) => (old.width === width && old.zoom === zoom ? old : { width, zoom }));
    };
    const observer = new ResizeObserver(measure);
    observer.observe(watched);
    measure();
    return () => observer.disconnect();
  }, []);
  return size;
}
