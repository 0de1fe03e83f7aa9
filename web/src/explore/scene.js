/**
 * What every view of Explore draws from: data, selection, colors, and what is switched on.
 *
 * @typedef {Object} Scene
 * @property {import("./data.js").Data} data
 * @property {import("./selection.js").Selection} selection
 * @property {import("./colors.js").Palette} palette
 * @property {import("./data.js").NullModel[]} nulls those that are switched on
 * @property {string[] | null} colors color of each row, or none
 * @property {import("../state.js").State} state
 *
 * @typedef {Object} View
 * @property {() => void} base draw axes and everything but the highlight
 * @property {() => void} top draw the highlight and say its numbers
 * @property {string[]} keys parts of the state that the base depends on
 *
 * @typedef {(root: HTMLElement, scene: Scene) => View} MakeView
 */

/** Parts of the state that the base of every view depends on. */
export const COMMON = ["null", "walk", "twin", "color", "theme"];

/** Words for the shown samples: how many of how many, and how they were drawn. */
/** @param {import("./data.js").About} about */
export function shownWords(about) {
  const shown = about.samples.sample.length;
  const noun = isOneToken(about) ? "texts" : "tokens";
  if (shown === about.n_samples) return `all ${shown} ${noun}`;
  return `${shown} of ${about.n_samples} ${noun}, seed ${about.seed}`;
}

/** @param {import("./data.js").About} about */
export function isOneToken(about) {
  return about.samples.sample.every((sample, row) => sample === about.samples.text[row]);
}

/**
 * Words for a row: its text, and its token where a text has several.
 * @param {import("./data.js").About} about
 * @param {number} row
 */
export function rowWords(about, row) {
  const text = `text ${about.samples.text[row]}`;
  if (isOneToken(about)) return text;
  return `${text}, position ${about.samples.position?.[row] ?? "?"}`;
}

/**
 * Row of the selected text in a null model, or -1.
 * @param {import("./data.js").NullModel} model
 * @param {number} row
 */
export function rowIn(model, row) {
  return model.row[row] ?? -1;
}

/** Word of the color of a null model. @param {import("./data.js").NullModel} model */
export function nullLook(model) {
  return model.key === "walk" ? { dash: [5, 3] } : { dash: [2, 2] };
}
