/**
 * Data of the view, decoded from the islands `explore-...` of `report/explorer/islands.py`.
 *
 * A sample is the last token of a text, or one of several tokens. Rows count the shown samples,
 * `about.samples.sample` gives the sample of each row.
 *
 * @typedef {import("../packing.js").Numbers} Numbers
 * @typedef {Object} About
 * @property {string[]} sites
 * @property {number} n_samples
 * @property {number} n_units
 * @property {boolean} is_one_per_text whether each text has one sample
 * @property {number} seed
 * @property {number[]} quantiles
 * @property {number[]} null_quantiles
 * @property {number[]} extreme_sites
 * @property {number[]} traced
 * @property {number[]} massive
 * @property {{sample: number[], text: number[], position?: number[], token?: string[],
 *   length?: number[], group?: string[]}} samples
 * @property {{string: string[], left_out: number[]}} texts
 * @property {{strings: string[], tokens: number[][], left_out?: number[]}} tokens
 * @property {Record<string, string>} listed
 * @property {number[]} text_of_sample
 *
 * @typedef {Object} Model
 * @property {Numbers} quantiles `(quantile, unit, site)`
 * @property {Numbers} extremes `(site, unit, rank)`
 * @property {Numbers} extreme_values `(site, unit, rank)`
 * @property {Numbers} traces `(unit, row, site)`
 * @property {Numbers} [norm] `(row, site)`
 * @property {Numbers} [speed] `(row, step)`
 * @property {Numbers} [cosine] `(row, step)`
 * @property {Numbers} [score] `(row, site, component)`
 * @property {(number | null)[]} [share] of the pooled variance, by component
 * @property {{latent: Numbers, row: number[]}} [latents] `(row, site, axis)`
 *
 * @typedef {Object} NullModel
 * @property {"walk" | "twin"} key
 * @property {string} name
 * @property {number} n_samples
 * @property {number[]} row its row of each shown sample, or -1
 * @property {Numbers} quantiles `(quantile, unit, site)`
 * @property {Numbers} traces `(unit, row, site)`
 * @property {Numbers} [speed]
 * @property {Numbers} [cosine]
 * @property {Numbers} [score]
 * @property {(number | null)[]} [share]
 * @property {Numbers} [correlation] `(statistic, step)`: mean, 5 %, 95 % over units
 * @property {Numbers} [information] `(statistic, step)`
 *
 * @typedef {Object} Lens
 * @property {string[]} strings
 * @property {Numbers} token `(row, site, rank)`
 * @property {Numbers} probability `(row, site, rank)`
 * @property {Numbers} kl `(row, site)`
 * @property {number[]} row
 *
 * @typedef {Object} Data
 * @property {About} about
 * @property {Model} model
 * @property {NullModel[]} nulls
 * @property {{correlation?: Numbers, information?: Numbers}} steps `(unit, step)`
 * @property {Lens | null} lens
 */

import { unpack } from "../packing.js";

/**
 * Read the islands of the view.
 * @param {import("../context.js").Context} context
 * @returns {Promise<Data>}
 */
export async function readData(context) {
  const read = (/** @type {string} */ name) => unpack(context.readIsland(`explore-${name}`));
  const [about, model, walk, twin, steps, lens] = await Promise.all(
    ["about", "model", "walk", "twin", "steps", "lens"].map(read),
  );
  /** @type {NullModel[]} */
  const nulls = [];
  if (walk) nulls.push({ ...walk, key: "walk", name: "random walk (null)" });
  if (twin) nulls.push({ ...twin, key: "twin", name: "untrained twin" });
  return {
    about: JSON.parse(about.about),
    model,
    nulls,
    steps,
    lens: lens && { ...lens, strings: JSON.parse(lens.strings) },
  };
}

/**
 * Part of an array with the given leading indices.
 * @param {Numbers} numbers
 * @param {...number} indices
 * @returns {ArrayLike<number> & Iterable<number>}
 */
export function part({ values, shape }, ...indices) {
  let size = values.length;
  let start = 0;
  indices.forEach((index, axis) => {
    size /= shape[axis];
    start += index * size;
  });
  return values.subarray(start, start + size);
}
