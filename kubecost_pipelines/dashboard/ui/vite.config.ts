import { createHash } from "node:crypto";
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";

import { defineConfig, type Plugin } from "vite";

const HERE = import.meta.dirname;
const OUTPUT = join(HERE, "../static");

/** Every file that the output is made from, in the order of its name. */
function sources(folder = HERE): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.name !== "node_modules")
    .flatMap((entry) => (entry.isDirectory() ? sources(join(folder, entry.name)) : [join(folder, entry.name)]))
    .sort();
}

/** Leaves the font's license and the hash of the sources beside the output: a test compares it, so that neither is
 * committed alone. */
function finish(): Plugin {
  return {
    name: "finish",
    closeBundle() {
      // Vite lists the licenses of scripts; the font is not one.
      const font = readFileSync(join(HERE, "node_modules/@fontsource-variable/inter/LICENSE"), "utf8");
      appendFileSync(join(OUTPUT, "licenses.md"), `\n## Inter (OFL-1.1)\n\n${font}`);
      const hash = createHash("sha256");
      const named = sources().map((path) => [relative(HERE, path).replaceAll("\\", "/"), path] as const);
      for (const [name, path] of named.sort(([a], [b]) => (a < b ? -1 : 1))) hash.update(`${name}\0`).update(readFileSync(path)).update("\0");
      writeFileSync(join(OUTPUT, "sources.sha256"), `${hash.digest("hex")}\n`);
    },
  };
}

// The API's server answers at `/` with index.html and serves the rest under /ui/, where nothing of Kubecost's lives.
export default defineConfig({
  base: "/ui/",
  plugins: [finish()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: OUTPUT,
    emptyOutDir: true,
    license: { fileName: "licenses.md" },
    // The frame and each view are files of their own; the charts are one that all views share.
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: { output: { codeSplitting: { groups: [{ name: "charts", test: /node_modules\/(@observablehq|d3|internmap|interval|isoformat|binary-search)/ }] } } },
  },
  server: { proxy: { "^/(model|dashboard)/": process.env.API ?? "http://127.0.0.1:9090" } },
});
