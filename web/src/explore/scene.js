/**
 * What every view of Explore draws from: data, selection, colors, and what is switched on.
 *
 * @typedef {Object} Scene
 * @property {import("./data.js").Data} data
 * @property {import("./selection.js").Selection} selection
 * @property {import("./colors.js").Palette} palette
 * @property {import("./data.js").NullModel[]} nulls those that are switched on
 * @property {string[] | null} colors color of each row, or none
 * @property {[string, string][]} colorKey colors of the label with their words
 * @property {(() => void)[]} afterDrawing called when all views have been drawn
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

/**
 * Word for the samples of the recording.
 * @param {import("./data.js").About} about
 */
export function noun(about) {
  return about.is_one_per_text ? "texts" : "tokens";
}

/**
 * Words for the shown samples: how many of how many, and how they were drawn.
 * @param {import("./data.js").About} about
 */
export function shownWords(about) {
  const shown = about.samples.sample.length;
  if (shown === about.n_samples) return `all ${shown} ${noun(about)}`;
  return `${shown} of ${about.n_samples} ${noun(about)}, seed ${about.seed}`;
}

/**
 * Series of all shown texts, by row.
 * @param {import("./data.js").About} about
 * @param {string} name
 * @param {number} [unit]
 * @returns {import("./pen.js").Series}
 */
export function textSeries(about, name, unit) {
  return { name, unit, from: shownWords(about), texts: about.samples.sample.map((_, row) => rowName(about, row)) };
}

/**
 * Series of one text.
 * @param {import("./data.js").About} about
 * @param {string} name
 * @param {number} row
 * @param {number} [unit]
 * @returns {import("./pen.js").Series}
 */
export function rowSeries(about, name, row, unit) {
  return { name, unit, from: `1 of ${about.n_samples} ${noun(about)}`, texts: [rowName(about, row)] };
}

/**
 * Draw the lines of all shown texts: in their colors, or as one gray crowd.
 * @param {import("./pen.js").Strokes} pen
 * @param {Scene} scene
 * @param {(import("./pen.js").Path | null)[]} paths by row
 * @param {{name: string, unit?: number, width: number, alpha: number, colored: number}} look
 *   `colored`: opacity of a line in its color
 */
export function drawTexts(pen, { data, palette, colors }, paths, { name, unit, width, alpha, colored }) {
  const series = textSeries(data.about, name, unit);
  const known = paths.flatMap((path, row) => (path ? [{ path, row }] : []));
  const names = series.texts ?? [];
  if (!colors) {
    const texts = known.map(({ row }) => names[row]);
    pen.lines(known.map(({ path }) => path), { color: palette.others, width, alpha, series: { ...series, texts } });
    return;
  }
  for (const { path, row } of known) {
    pen.lines([path], { color: colors[row], width: 0.8, alpha: colored, series: { ...series, texts: [names[row]] } });
  }
}

/**
 * Number of a row's text, with the position where a text has several samples.
 * @param {import("./data.js").About} about
 * @param {number} row
 */
export function rowName(about, row) {
  const text = String(about.samples.text[row]);
  return about.is_one_per_text ? text : `${text}:${about.samples.position?.[row] ?? "?"}`;
}

/**
 * Words for a row.
 * @param {import("./data.js").About} about
 * @param {number} row
 */
export function rowWords(about, row) {
  const place = about.samples.position?.[row] ?? "?";
  return `text ${about.samples.text[row]}${about.is_one_per_text ? "" : `, position ${place}`}`;
}

/**
 * Row of the selected text in a null model, or -1.
 * @param {import("./data.js").NullModel} model
 * @param {number} row
 */
export function rowIn(model, row) {
  return model.row[row] ?? -1;
}

/**
 * Dashes of the lines of a null model.
 * @param {import("./data.js").NullModel} model
 */
export function nullLook(model) {
  return model.key === "walk" ? { dash: [5, 3] } : { dash: [2, 2] };
}
