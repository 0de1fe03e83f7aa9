/** The plotting library, compressed in the page and started when the first figure needs it. */

import { readIsland, unpackText } from "../packing.js";

/** @type {Promise<PlotlyPart> | null} */
let started = null;

/**
 * The plotting library.
 * @returns {Promise<PlotlyPart>}
 */
export function plotly() {
  started ??= start();
  return started;
}

async function start() {
  const script = document.createElement("script");
  // The content policy names this text by its hash.
  script.text = await unpackText(readIsland("plotly"));
  document.head.append(script);
  if (!window.Plotly) throw new Error("the plotting library did not start");
  return window.Plotly;
}
