/** Speed and cosine of consecutive states of the selected text, among all shown texts. */

import { part } from "./data.js";
import { nullArguments, offerFiles, pythonOf } from "./files.js";
import { Plot } from "./plot.js";
import { extent, numeral, padded, quantiles } from "./scales.js";
import { COMMON, drawTexts, noun, nullLook, rowIn, rowSeries, rowWords, shownWords } from "./scene.js";
import { nearestRow, nearestSite } from "./trace.js";

const SHARES = [0.05, 0.5, 0.95];
const QUANTITIES = /** @type {const} */ ({
  speed: { title: "Speed of the text", label: "speed (stream units per step)" },
  cosine: { title: "Cosine of consecutive states", label: "cosine (1)" },
});

/** @type {import("./scene.js").MakeView} */
export const makeSpeed = (root, scene) => makeMovement(root, scene, "speed");
/** @type {import("./scene.js").MakeView} */
export const makeCosine = (root, scene) => makeMovement(root, scene, "cosine");

/**
 * @param {HTMLElement} root
 * @param {import("./scene.js").Scene} scene
 * @param {keyof typeof QUANTITIES} quantity
 * @returns {import("./scene.js").View}
 */
function makeMovement(root, scene, quantity) {
  const { title, label } = QUANTITIES[quantity];
  const plot = new Plot(root, { name: quantity, title, height: 220, isColored: true }, () => {
    base();
    top();
  });
  const { about, model, nulls: known } = scene.data;
  const numbers = model[quantity];
  const bands = new Map(known.map((each) => [each.key, bandOf(each[quantity])]));
  const n = about.samples.sample.length;
  offerFiles(plot, scene, () => {
    const { sample, site } = scene.selection;
    if (!numbers) return null;
    return pythonOf(quantity, { sample, site: about.sites[site], ...nullArguments(scene) });
  });

  function base() {
    const { palette, nulls } = scene;
    const shown = nulls.filter((each) => bands.get(each.key));
    const lists = shown.flatMap((each) => [bands.get(each.key)?.[0] ?? [], bands.get(each.key)?.[2] ?? []]);
    const axes = {
      x: /** @type {[number, number]} */ ([0, about.sites.length - 1]),
      y: padded(extent(...(numbers ? [numbers.values] : []), ...lists)),
      xLabel: "step (index of its first site)",
      yLabel: label,
    };
    plot.drawBase(axes, palette, (pen) => {
      for (const each of shown) {
        const [low, middle, high] = /** @type {Float64Array[]} */ (bands.get(each.key));
        const look = { color: palette[each.key], ...nullLook(each) };
        const series = { name: `${each.name}: median, 5–95 %`, from: `${each.n_samples} ${noun(about)}` };
        pen.band(low, high, { color: palette[each.key], alpha: 0.15, middle, series });
        pen.line(null, middle, { width: 1.5, ...look });
      }
      if (!numbers) return;
      const paths = Array.from({ length: n }, (_, row) => /** @type {import("./pen.js").Path} */ ([null, part(numbers, row)]));
      drawTexts(pen, scene, paths, { name: "texts", width: 0.7, alpha: 0.35, colored: 0.5 });
    });
    /** @type {[string, string, ("line" | "dash" | "band" | "dot")?][]} */
    const entries = [
      [palette.text, "selected text"],
      [palette.others, `texts (${shownWords(about)})`],
    ];
    for (const each of shown) {
      entries.push([palette[each.key], `${each.name}: median, 5–95 % of ${each.n_samples} ${noun(about)}`, "dash"]);
    }
    plot.name(entries);
  }

  function top() {
    const { palette, selection } = scene;
    const { row, site } = selection;
    const step = Math.min(site, about.sites.length - 2);
    plot.drawTop((pen) => {
      pen.upright(step, palette.ink);
      for (const each of scene.nulls) {
        const place = rowIn(each, row);
        const own = each[quantity];
        if (!own || place < 0) continue;
        const series = rowSeries(about, `${each.name}: selected text`, row);
        pen.line(null, part(own, place), { color: palette[each.key], width: 1.2, series, ...nullLook(each) });
      }
      if (!numbers) return;
      const own = part(numbers, row);
      pen.line(null, own, { color: palette.text, width: 2.2, series: rowSeries(about, "selected text", row) });
      pen.point(step, own[step], { color: palette.text, size: 4.5, ring: palette.paper });
    });
    if (!numbers) {
      plot.readout.textContent = "Not defined for a recording of one site.";
      return;
    }
    const rank = Array.from({ length: n }, (_, each) => part(numbers, each)[step]);
    const below = rank.filter((value) => value < rank[row]).length;
    const parts = [
      `${rowWords(about, row)}, ${about.sites[step]} to ${about.sites[step + 1]} — ${quantity} ` +
        `${numeral(rank[row])}, above ${below} of ${n}`,
    ];
    for (const each of scene.nulls) {
      const band = bands.get(each.key);
      if (band) parts.push(`${each.name} 5–95 % ${numeral(band[0][step])} to ${numeral(band[2][step])}`);
    }
    plot.readout.textContent = parts.join("; ");
  }

  plot.offer(
    (x, y) => {
      if (!numbers) return null;
      const step = nearestSite(plot, x, about.sites.length - 1);
      const row = nearestRow(plot, y, n, (each) => part(numbers, each)[step]);
      return {
        words: `${rowWords(about, row)}, ${about.sites[step]}: ${numeral(part(numbers, row)[step])}`,
        changes: { site: about.sites[step], text: about.samples.sample[row] },
      };
    },
    (changes) => scene.state.set(changes),
  );
  return { base, top, keys: COMMON };
}

/**
 * Quantiles over rows of `(row, step)`.
 * @param {import("./data.js").Numbers | undefined} numbers
 * @returns {Float64Array[] | null}
 */
export function bandOf(numbers) {
  if (!numbers) return null;
  const [n, steps] = numbers.shape;
  const lines = SHARES.map(() => new Float64Array(steps));
  for (let step = 0; step < steps; step += 1) {
    const column = Array.from({ length: n }, (_, row) => numbers.values[row * steps + step]);
    quantiles(column, SHARES).forEach((value, index) => {
      lines[index][step] = value;
    });
  }
  return lines;
}
