// Builds the page's script, its plotting library and its style: `npm run build`.

import { build } from "esbuild";
import { readFile } from "node:fs/promises";

const folder = new URL("../src/transformer_dynamics/report/static/", import.meta.url).pathname;
const common = {
  bundle: true,
  minify: true,
  charset: "utf8",
  legalComments: "inline",
  logLevel: "warning",
  target: "es2022",
};

await build({ ...common, format: "iife", entryPoints: ["src/page.js"], outfile: `${folder}page.js` });
await build({ ...common, entryPoints: ["src/page.css"], outfile: `${folder}page.css` });
await build({
  ...common,
  format: "iife",
  globalName: "Plotly",
  define: { global: "window" },
  // Style sheets of the maps, which are not in the bundle.
  loader: { ".css": "empty" },
  entryPoints: ["src/plotly.js"],
  outfile: `${folder}plotly.js`,
});

// Each of these would end the script element that holds the text, or change how it is read.
for (const name of ["page.js", "plotly.js"]) {
  const text = await readFile(folder + name, "utf8");
  if (/<\/script|<!--|\r/i.test(text)) throw new Error(`${name} cannot stand in a script element`);
}
