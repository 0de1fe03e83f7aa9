/** Correlation and mutual information of the units between neighboring sites. */

import { part } from "./data.js";
import { nullArguments, offerFiles, pythonOf } from "./files.js";
import { Plot } from "./plot.js";
import { extent, numeral, padded, quantiles } from "./scales.js";
import { COMMON, noun, nullLook } from "./scene.js";
import { nearestRow, nearestSite } from "./trace.js";

const SHARES = [0.05, 0.5, 0.95];
const QUANTITIES = /** @type {const} */ ({
  correlation: {
    title: "Correlation of the unit between sites",
    label: "Pearson correlation (1)",
    measure: "units.correlation",
  },
  information: {
    title: "Mutual information between sites",
    label: "mutual information (nats)",
    measure: "units.mutual_information",
  },
});

/** @type {import("./scene.js").MakeView} */
export const makeCorrelation = (root, scene) => makeSteps(root, scene, "correlation");
/** @type {import("./scene.js").MakeView} */
export const makeInformation = (root, scene) => makeSteps(root, scene, "information");

/**
 * @param {HTMLElement} root
 * @param {import("./scene.js").Scene} scene
 * @param {keyof typeof QUANTITIES} quantity
 * @returns {import("./scene.js").View}
 */
function makeSteps(root, scene, quantity) {
  const { title, label, measure } = QUANTITIES[quantity];
  const plot = new Plot(root, { name: quantity, title, height: 220 }, () => {
    base();
    top();
  });
  const { about, steps } = scene.data;
  const numbers = steps[quantity];
  const n = numbers ? numbers.shape[0] : 0;
  const spread = numbers ? overUnits(numbers) : null;
  offerFiles(plot, scene, () => {
    const { unit, site } = scene.selection;
    if (!numbers) return null;
    return pythonOf(quantity, { unit, site: about.sites[site], ...nullArguments(scene) });
  });

  function base() {
    const { palette, nulls, selection } = scene;
    const own = numbers ? part(numbers, selection.unit) : [];
    const ofNulls = nulls.flatMap((each) => (each[quantity] ? [each[quantity].values] : []));
    const axes = {
      x: /** @type {[number, number]} */ ([0, about.sites.length - 1]),
      y: padded(extent(...(spread ?? []), own, ...ofNulls)),
      xLabel: "step (index of its first site)",
      yLabel: label,
    };
    plot.drawBase(axes, palette, (pen) => {
      if (spread) {
        const series = { name: "units: median, 5–95 %", from: `${n} units, ${about.n_samples} ${noun(about)}` };
        pen.band(spread[0], spread[2], { color: palette.spread, alpha: 0.3, middle: spread[1], series });
        pen.line(null, spread[1], { color: palette.spread, width: 1.8 });
      }
      for (const each of nulls) {
        const band = each[quantity];
        if (!band) continue;
        const [mean, low, high] = [0, 1, 2].map((index) => part(band, index));
        const series = { name: `${each.name}: mean, 5–95 %`, from: `${about.n_units} units, ${each.n_samples} ${noun(about)}` };
        pen.band(low, high, { color: palette[each.key], alpha: 0.13, middle: mean, series });
        pen.line(null, mean, { color: palette[each.key], width: 1.5, ...nullLook(each) });
      }
      const series = { name: "selected unit", from: `${about.n_samples} ${noun(about)}`, unit: selection.unit };
      if (numbers) pen.line(null, own, { color: palette.text, width: 2.2, series });
    });
    /** @type {[string, string, ("line" | "dash" | "band" | "dot")?][]} */
    const entries = [];
    if (numbers) {
      entries.push([palette.text, `unit ${selection.unit}`]);
      entries.push([palette.spread, `median and 5–95 % of ${n} units, ${about.n_samples} ${noun(about)}`, "band"]);
    }
    for (const each of nulls) {
      if (!each[quantity]) continue;
      const words = `${each.name}: mean, 5–95 % of units, ${each.n_samples} ${noun(about)}`;
      entries.push([palette[each.key], words, "dash"]);
    }
    plot.name(entries);
  }

  function top() {
    const { palette, selection, nulls } = scene;
    const step = Math.min(selection.site, about.sites.length - 2);
    plot.drawTop((pen) => {
      pen.upright(step, palette.ink);
      if (!numbers) return;
      const value = part(numbers, selection.unit)[step];
      pen.point(step, value, { color: palette.text, size: 4.5, ring: palette.paper });
    });
    if (!numbers || !spread) {
      plot.readout.textContent = `Not on this page: the run has no result of ${measure}.`;
      return;
    }
    const parts = [
      `unit ${selection.unit}, ${about.sites[step]} to ${about.sites[step + 1]} — ${quantity} ` +
        `${numeral(part(numbers, selection.unit)[step])}; median of units ${numeral(spread[1][step])}`,
    ];
    for (const each of nulls) {
      const mean = each[quantity];
      if (mean) parts.push(`${each.name} mean ${numeral(part(mean, 0)[step])}`);
    }
    plot.readout.textContent = parts.join("; ");
  }

  plot.offer(
    (x, y) => {
      if (!numbers) return null;
      const step = nearestSite(plot, x, about.sites.length - 1);
      const unit = nearestRow(plot, y, n, (each) => part(numbers, each)[step]);
      return {
        words: `unit ${unit}, ${about.sites[step]}: ${numeral(part(numbers, unit)[step])}`,
        changes: { site: about.sites[step], unit },
      };
    },
    (changes) => scene.state.set(changes),
  );
  return { base, top, keys: ["unit", ...COMMON] };
}

/**
 * Quantiles over units of `(unit, step)`.
 * @param {import("./data.js").Numbers} numbers
 */
function overUnits(numbers) {
  const [n, steps] = numbers.shape;
  const lines = SHARES.map(() => new Float64Array(steps));
  for (let step = 0; step < steps; step += 1) {
    const column = Array.from({ length: n }, (_, unit) => numbers.values[unit * steps + step]);
    quantiles(column, SHARES).forEach((value, index) => {
      lines[index][step] = value;
    });
  }
  return lines;
}
