/** Trace of the selected unit over depth: distribution over all texts, single texts, null bands. */

import { part } from "./data.js";
import { nullArguments, offerFiles, pythonOf } from "./files.js";
import { Plot } from "./plot.js";
import { extent, numeral, padded } from "./scales.js";
import { COMMON, drawTexts, noun, nullLook, rowSeries, rowWords, shownWords } from "./scene.js";

/** @type {import("./scene.js").MakeView} */
export function makeTrace(root, scene) {
  const view = { base, top, keys: ["unit", ...COMMON] };
  const plot = new Plot(root, { name: "trace", title: "Trace of the unit", isColored: true }, () => {
    base();
    top();
  });
  const { about, model } = scene.data;
  offerFiles(plot, scene, () => {
    const { unit, sample, site } = scene.selection;
    return pythonOf("trace", { unit, sample, site: about.sites[site], ...nullArguments(scene) });
  });

  function place() {
    return about.traced.indexOf(scene.selection.unit);
  }

  /** @param {number} row */
  function traceOf(row) {
    return part(model.traces, place(), row);
  }

  function base() {
    const { palette, selection, nulls } = scene;
    const { unit } = selection;
    const rows = about.samples.sample.map((_, row) => row);
    const bands = about.quantiles.map((_, index) => part(model.quantiles, index, unit));
    const isTraced = place() >= 0;
    const lists = [
      bands[0],
      bands[4],
      ...(isTraced ? [part(model.traces, place())] : []),
      ...nulls.flatMap((each) => [part(each.quantiles, 0, unit), part(each.quantiles, 2, unit)]),
    ];
    plot.heading.textContent = `Trace of unit ${unit}`;
    const axes = {
      x: /** @type {[number, number]} */ ([0, about.sites.length - 1]),
      y: padded(extent(...lists)),
      xLabel: "site (index)",
      yLabel: "activation (stream units)",
    };
    plot.drawBase(axes, palette, (pen) => {
      const spread = { color: palette.spread, middle: bands[2] };
      const all = (/** @type {string} */ ends) => ({ name: `median, ${ends}`, from: `${about.n_samples} ${noun(about)}`, unit });
      pen.band(bands[0], bands[4], { ...spread, alpha: 0.25, series: all("5–95 %") });
      pen.band(bands[1], bands[3], { ...spread, alpha: 0.3, series: all("25–75 %") });
      if (isTraced) {
        const paths = rows.map((row) => /** @type {import("./pen.js").Path} */ ([null, traceOf(row)]));
        drawTexts(pen, scene, paths, { name: "single texts", unit, width: 0.7, alpha: 0.35, colored: 0.5 });
      }
      for (const each of nulls) {
        const [low, middle, high] = [0, 1, 2].map((index) => part(each.quantiles, index, unit));
        const series = { name: `${each.name}: median, 5–95 %`, from: `${each.n_samples} ${noun(about)}`, unit };
        pen.band(low, high, { color: palette[each.key], alpha: 0.13, middle, series });
        for (const line of [low, high]) {
          pen.line(null, line, { color: palette[each.key], width: 1, ...nullLook(each) });
        }
        pen.line(null, middle, { color: palette[each.key], width: 1.5, ...nullLook(each) });
      }
      pen.line(null, bands[2], { color: palette.spread, width: 2 });
    });
    name(isTraced);
  }

  /** @param {boolean} isTraced */
  function name(isTraced) {
    const { palette, nulls } = scene;
    /** @type {[string, string, ("line" | "dash" | "band" | "dot")?][]} */
    const entries = [
      [palette.spread, `median, 25–75 %, 5–95 % of all ${about.n_samples} ${noun(about)}`, "band"],
    ];
    if (isTraced) {
      entries.unshift([palette.text, "selected text"]);
      entries.push([palette.others, `single texts (${shownWords(about)})`]);
    }
    for (const each of nulls) {
      const words = `${each.name}: median, 5–95 % of ${each.n_samples} ${noun(about)}`;
      entries.push([palette[each.key], words, "dash"]);
    }
    plot.name(entries);
  }

  function top() {
    const { palette, selection } = scene;
    const { row, site, unit } = selection;
    const isTraced = place() >= 0;
    plot.drawTop((pen) => {
      pen.upright(site, palette.ink);
      if (!isTraced) return;
      const series = rowSeries(about, "selected text", row, unit);
      pen.line(null, traceOf(row), { color: palette.text, width: 2.2, series });
      pen.point(site, traceOf(row)[site], { color: palette.text, size: 4.5, ring: palette.paper });
    });
    const own = isTraced
      ? `${rowWords(about, row)}: ${numeral(traceOf(row)[site])}`
      : "traces of this unit are not on the page";
    const [low, , middle, , high] = about.quantiles.map((_, q) => part(model.quantiles, q, unit)[site]);
    const parts = [
      `unit ${unit} at ${about.sites[site]} — ${own}`,
      `median ${numeral(middle)}, 5–95 % ${numeral(low)} to ${numeral(high)}`,
    ];
    for (const each of scene.nulls) {
      const [from, , to] = [0, 1, 2].map((q) => part(each.quantiles, q, unit)[site]);
      parts.push(`${each.name} 5–95 % ${numeral(from)} to ${numeral(to)}`);
    }
    plot.readout.textContent = parts.join("; ");
  }

  plot.offer(
    (x, y) => {
      const site = nearestSite(plot, x, about.sites.length);
      /** @type {Record<string, string | number>} */
      const changes = { site: about.sites[site] };
      if (place() < 0) return { words: about.sites[site], changes };
      const row = nearestRow(plot, y, about.samples.sample.length, (each) => traceOf(each)[site]);
      return {
        words: `${rowWords(about, row)}, ${about.sites[site]}: ${numeral(traceOf(row)[site])}`,
        changes: { ...changes, text: about.samples.sample[row] },
      };
    },
    (changes) => scene.state.set(changes),
  );
  return view;
}

/**
 * Index of the site under a pixel.
 * @param {Plot} plot
 * @param {number} x
 * @param {number} n
 */
export function nearestSite(plot, x, n) {
  const place = plot.inverseX ? Math.round(plot.inverseX(x)) : 0;
  return Math.min(n - 1, Math.max(0, place));
}

/**
 * Index whose value lies nearest to a pixel.
 * @param {Plot} plot
 * @param {number} y
 * @param {number} n
 * @param {(index: number) => number} value
 */
export function nearestRow(plot, y, n, value) {
  let best = 0;
  let least = Infinity;
  for (let index = 0; index < n; index += 1) {
    const distance = Math.abs(plot.y(value(index)) - y);
    if (distance < least) [best, least] = [index, distance];
  }
  return best;
}
