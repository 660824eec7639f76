/** Theme: light or dark, as the system says until the reader says otherwise. */

import { useEffect, useState } from "preact/hooks";

type Theme = "light" | "dark";
const KEY = "kubecost-pipelines-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function chosen(): Theme | null {
  const kept = localStorage.getItem(KEY);
  return kept === "light" || kept === "dark" ? kept : null;
}

export function useTheme(): [Theme, () => void] {
  const [theme, set] = useState<Theme>(chosen() ?? (system.matches ? "dark" : "light"));
  useEffect(() => {
    const follow = () => !chosen() && set(system.matches ? "dark" : "light");
    system.addEventListener("change", follow);
    return () => system.removeEventListener("change", follow);
  }, []);
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
  }, [theme]);
  const turn = () => {
    const next = theme === "dark" ? "light" : "dark";
    localStorage.setItem(KEY, next);
    set(next);
  };
  return [theme, turn];
}
