// Builds the page's script, its style and its plotting library into the package: `npm run build`.
// With `--check` it writes nothing, and fails where the package holds another build.

import { build } from "esbuild";
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const folder = new URL("../src/transformer_dynamics/report/static/", import.meta.url);
const isCheck = process.argv.includes("--check");
const common = {
  bundle: true,
  minify: true,
  charset: "utf8",
  legalComments: "inline",
  logLevel: "warning",
  target: "es2022",
  write: false,
  absWorkingDir: fileURLToPath(new URL(".", import.meta.url)),
};
const outputs = {
  "page.js": { format: "iife", entryPoints: ["src/page.js"] },
  "page.css": { entryPoints: ["src/page.css"] },
  "plotly.js": {
    format: "iife",
    banner: { js: "/* plotly.js 4.1.1, scatter and heatmap. MIT License, (c) Plotly, Inc. */" },
    globalName: "Plotly",
    define: { global: "window" },
    // Style sheets of the maps, which are not in the bundle.
    loader: { ".css": "empty" },
    entryPoints: ["src/plotly.js"],
  },
};

for (const [name, options] of Object.entries(outputs)) {
  const { outputFiles } = await build({ ...common, ...options });
  const text = outputFiles[0].text;
  // Each of these would end the element that holds the text, or change how it is read.
  if (/<\/script|<\/style|<!--|\r/i.test(text)) throw new Error(`${name} cannot stand in a page`);
  const path = new URL(name, folder);
  if (!isCheck) {
    await writeFile(path, text);
  } else if ((await readFile(path, "utf8").catch(() => "")) !== text) {
    console.error(`${fileURLToPath(path)} is not what web/ builds; build it again: make web`);
    process.exitCode = 1;
  }
}
