/**
 * The one selection of the view: text, site and unit, read from the page's state.
 *
 * @typedef {{row: number, sample: number, site: number, unit: number}} Selection
 *   `row` counts the shown samples; `site` is an index.
 * @typedef {"index" | "token" | "length" | "norm" | "group"} Label
 */

export const LABELS = /** @type {Label[]} */ (["index", "token", "length", "norm", "group"]);

/**
 * Selection of a state; what the data do not hold is replaced by a default.
 * @param {import("../state.js").Values} values
 * @param {import("./data.js").About} about
 * @returns {Selection}
 */
export function selectionOf(values, about) {
  const sample = whole(values.text);
  const row = Math.max(0, about.samples.sample.indexOf(sample ?? -1));
  const site = about.sites.indexOf(values.site ?? "");
  const unit = whole(values.unit);
  const isUnit = unit !== null && unit >= 0 && unit < about.n_units;
  return {
    row,
    sample: about.samples.sample[row],
    site: site >= 0 ? site : Math.floor((about.sites.length - 1) / 2),
    unit: isUnit ? unit : (about.massive[0] ?? about.traced[0] ?? 0),
  };
}

/**
 * Whole number of a text, or null.
 * @param {string | undefined} text
 */
export function whole(text) {
  return text !== undefined && /^\s*\d+\s*$/.test(text) ? Number(text) : null;
}

/**
 * Values of a label by row: numbers, or strings.
 * @param {import("./data.js").Data} data
 * @param {Label} label
 * @returns {(number | string)[] | null} null where the recording has no such label
 */
export function labelValues({ about, model }, label) {
  if (label === "index") return about.samples.sample;
  if (label === "norm") {
    if (!model.norm) return null;
    const [n, sites] = model.norm.shape;
    const { values } = model.norm;
    return Array.from({ length: n }, (_, row) => values[(row + 1) * sites - 1]);
  }
  return about.samples[label] ?? null;
}

/**
 * Rows in ascending order of a label; equal ones stay in the order of their index.
 * @param {(number | string)[]} values
 * @returns {number[]}
 */
export function ordered(values) {
  const rows = values.map((_, row) => row);
  return rows.sort((one, other) => compare(values[one], values[other]) || one - other);
}

/**
 * @param {number | string} one
 * @param {number | string} other
 */
function compare(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other || 0;
  return String(one) < String(other) ? -1 : Number(String(one) > String(other));
}

/**
 * Rows whose text holds a search, or that it names as `#12`.
 * @param {import("./data.js").About} about
 * @param {string} search
 * @returns {boolean[]}
 */
export function found({ samples, texts }, search) {
  const wanted = search.trim().toLocaleLowerCase();
  const number = wanted.startsWith("#") ? whole(wanted.slice(1)) : null;
  return samples.text.map((text, row) => {
    if (!wanted) return true;
    if (number !== null) return text === number;
    const own = [texts.string[row] ?? "", samples.token?.[row] ?? "", samples.group?.[row] ?? ""];
    return own.some((each) => each.toLocaleLowerCase().includes(wanted));
  });
}

/**
 * Neighbor in a list, which ends at both ends.
 * @param {number[]} list
 * @param {number} value
 * @param {number} by
 */
export function neighbor(list, value, by) {
  const place = list.indexOf(value);
  if (place < 0) return list[0] ?? value;
  return list[Math.min(list.length - 1, Math.max(0, place + by))];
}

/**
 * Changes of the state for a key; null for a key that means nothing here.
 * @param {string} key
 * @param {Selection} selection
 * @param {{about: import("./data.js").About, order: number[]}} given rows in the order of the list
 * @returns {Record<string, string | number> | null}
 */
export function changesOfKey(key, selection, { about, order }) {
  const site = (/** @type {number} */ by) => {
    const next = Math.min(about.sites.length - 1, Math.max(0, selection.site + by));
    return { site: about.sites[next] };
  };
  const text = (/** @type {number} */ by) => ({
    text: about.samples.sample[neighbor(order, selection.row, by)],
  });
  const unit = (/** @type {number} */ by) => ({
    unit: (selection.unit + by + about.n_units) % about.n_units,
  });
  /** @type {Record<string, () => Record<string, string | number>>} */
  const moves = {
    ArrowLeft: () => site(-1),
    ArrowRight: () => site(1),
    Home: () => ({ site: about.sites[0] }),
    End: () => ({ site: about.sites[about.sites.length - 1] }),
    ArrowUp: () => text(-1),
    ArrowDown: () => text(1),
    "[": () => unit(-1),
    "]": () => unit(1),
  };
  return Object.hasOwn(moves, key) ? moves[key]() : null;
}
