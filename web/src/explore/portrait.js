/** Phase portrait of the selected unit: its activation, and the change to the next site. */

import { part } from "./data.js";
import { nullArguments, offerFiles, pythonOf } from "./files.js";
import { Plot } from "./plot.js";
import { extent, numeral, padded } from "./scales.js";
import { COMMON, drawTexts, noun, nullLook, rowIn, rowSeries, rowWords, shownWords } from "./scene.js";

/** @type {import("./scene.js").MakeView} */
export function makePortrait(root, scene) {
  const plot = new Plot(root, { name: "portrait", title: "Phase portrait of the unit", isColored: true }, () => {
    base();
    top();
  });
  const { about, model } = scene.data;
  const last = about.sites.length - 1;
  offerFiles(plot, scene, () => {
    const { unit, sample, site } = scene.selection;
    return pythonOf("portrait", { unit, sample, site: about.sites[site], ...nullArguments(scene) });
  });

  /** @param {number} row */
  function own(row) {
    const place = about.traced.indexOf(scene.selection.unit);
    return place < 0 ? null : orbit(part(model.traces, place, row));
  }

  function median() {
    return orbit(part(model.quantiles, 2, scene.selection.unit));
  }

  /** @param {import("./data.js").NullModel} each its orbits on the page */
  function orbitsOf(each) {
    const place = about.traced.indexOf(scene.selection.unit);
    if (place < 0) return [];
    return Array.from({ length: each.traces.shape[1] }, (_, row) => orbit(part(each.traces, place, row)));
  }

  function base() {
    const { palette, selection, nulls } = scene;
    const { unit } = selection;
    const orbits = about.samples.sample.map((_, row) => own(row));
    const isTraced = orbits[0] !== null;
    const known = /** @type {Orbit[]} */ (isTraced ? orbits : [median()]);
    const medians = nulls.map((each) => orbit(part(each.quantiles, 1, unit)));
    const all = [...known, ...medians, ...nulls.flatMap(orbitsOf)];
    const axes = {
      x: padded(extent(...all.map(({ x }) => x))),
      y: padded(extent(...all.map(({ y }) => y))),
      xLabel: "activation (stream units)",
      yLabel: "change (stream units per step)",
    };
    plot.heading.textContent = `Phase portrait of unit ${unit}`;
    plot.drawBase(axes, palette, (pen) => {
      if (isTraced) {
        const paths = known.map(({ x, y }) => /** @type {import("./pen.js").Path} */ ([x, y]));
        drawTexts(pen, scene, paths, { name: "single texts", unit, width: 0.6, alpha: 0.25, colored: 0.4 });
      }
      const all = { name: "median", from: `${about.n_samples} ${noun(about)}`, unit };
      pen.line(median().x, median().y, { color: palette.spread, width: 1.8, series: all });
      nulls.forEach((each, index) => {
        const series = { name: `${each.name}: median`, from: `${each.n_samples} ${noun(about)}`, unit };
        const look = { color: palette[each.key], width: 1.5, series, ...nullLook(each) };
        pen.line(medians[index].x, medians[index].y, look);
      });
    });
    /** @type {[string, string, ("line" | "dash" | "band" | "dot")?][]} */
    const entries = [[palette.spread, `median of all ${about.n_samples} ${noun(about)}`]];
    if (isTraced) {
      entries.unshift([palette.text, "selected text"]);
      entries.push([palette.others, `single texts (${shownWords(about)})`]);
    }
    for (const each of nulls) entries.push([palette[each.key], `${each.name}: median, and the selected text`, "dash"]);
    plot.name(entries);
  }

  function top() {
    const { palette, selection } = scene;
    const { row, site, unit } = selection;
    const place = about.traced.indexOf(unit);
    const mine = own(row) ?? median();
    const step = Math.min(site, last - 1);
    plot.drawTop((pen) => {
      for (const each of scene.nulls) {
        const rowOfNull = rowIn(each, row);
        if (place < 0 || rowOfNull < 0 || rowOfNull >= each.traces.shape[1]) continue;
        const { x, y } = orbit(part(each.traces, place, rowOfNull));
        const series = rowSeries(about, `${each.name}: selected text`, row, unit);
        pen.line(x, y, { color: palette[each.key], width: 1.2, alpha: 0.8, series, ...nullLook(each) });
        pen.point(x[step], y[step], { color: palette[each.key], size: 3.5 });
      }
      const series = rowSeries(about, "selected text", row, unit);
      if (place >= 0) pen.line(mine.x, mine.y, { color: palette.text, width: 2, series });
      pen.point(mine.x[step], mine.y[step], { color: palette.text, size: 4.5, ring: palette.paper });
    });
    const whose = place >= 0 ? rowWords(about, row) : "traces of this unit are not on the page; median";
    plot.readout.textContent =
      `unit ${unit}, ${about.sites[step]} to ${about.sites[step + 1]} — ${whose}: activation ` +
      `${numeral(mine.x[step])}, change ${numeral(mine.y[step])}`;
  }

  plot.offer(
    (x, y) => {
      const { row } = scene.selection;
      const mine = own(row) ?? median();
      const step = nearestPoint(plot, mine.x, mine.y, x, y);
      if (step < 0) return null;
      return { words: `${rowWords(about, row)}, ${about.sites[step]}`, changes: { site: about.sites[step] } };
    },
    (changes) => scene.state.set(changes),
  );
  return { base, top, keys: ["unit", ...COMMON] };
}

/** @typedef {{x: Float64Array, y: Float64Array}} Orbit */

/**
 * Activation and change to the next site.
 * @param {ArrayLike<number>} trace
 * @returns {Orbit}
 */
export function orbit(trace) {
  const n = Math.max(0, trace.length - 1);
  return {
    x: Float64Array.from({ length: n }, (_, site) => trace[site]),
    y: Float64Array.from({ length: n }, (_, site) => trace[site + 1] - trace[site]),
  };
}

/**
 * Index of the point nearest to a pixel, within reach of a finger.
 * @param {Plot} plot
 * @param {ArrayLike<number>} xs
 * @param {ArrayLike<number>} ys
 * @param {number} x
 * @param {number} y
 */
export function nearestPoint(plot, xs, ys, x, y) {
  let best = -1;
  let least = 24 ** 2;
  for (let index = 0; index < xs.length; index += 1) {
    const distance = (plot.x(xs[index]) - x) ** 2 + (plot.y(ys[index]) - y) ** 2;
    if (distance < least) [best, least] = [index, distance];
  }
  return best;
}
