/** Colors of the view: roles from the style sheet, and colors of texts by a label. */

/** @typedef {Record<"ink" | "soft" | "line" | "paper" | "text" | "spread" | "walk" | "twin" | "others",
 *   string>} Palette */

const ROLES = ["ink", "soft", "line", "paper", "text", "spread", "walk", "twin", "others"];
// Okabe and Ito, without black: distinct for color-blind readers.
const CATEGORIES = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6D31"];
const OTHER = "#8a8f98";
// Viridis at five points: ascending lightness, and distinct for color-blind readers.
const RAMP = [
  [68, 1, 84],
  [59, 82, 139],
  [33, 145, 140],
  [94, 201, 98],
  [253, 231, 37],
];

/** Colors of the roles in the theme that is shown. @returns {Palette} */
export function palette() {
  const style = getComputedStyle(document.documentElement);
  /** @type {Record<string, string>} */
  const colors = {};
  for (const role of ROLES) {
    colors[role] =
      style.getPropertyValue(`--plot-${role}`).trim() || style.getPropertyValue(`--${role}`).trim();
  }
  return /** @type {Palette} */ (colors);
}

/**
 * Color of a share between 0 and 1.
 * @param {number} share
 * @returns {string}
 */
export function ramp(share) {
  if (!Number.isFinite(share)) return OTHER;
  const place = Math.min(1, Math.max(0, share)) * (RAMP.length - 1);
  const low = Math.min(RAMP.length - 2, Math.floor(place));
  const mixed = RAMP[low].map((value, channel) =>
    Math.round(value + (place - low) * (RAMP[low + 1][channel] - value)),
  );
  return `rgb(${mixed.join(",")})`;
}

/**
 * Color of each row by its label, with a key of what the colors mean.
 * @param {(number | string)[] | null} values null: no colors
 * @returns {{colors: string[] | null, key: [string, string][]}} key: color and words
 */
export function colorsOf(values) {
  if (values === null || !values.length) return { colors: null, key: [] };
  if (values.every((value) => typeof value === "number")) return ramped(/** @type {number[]} */ (values));
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const value of values) counts.set(String(value), (counts.get(String(value)) ?? 0) + 1);
  const most = [...counts.entries()].sort((one, other) => other[1] - one[1]);
  const named = most.slice(0, CATEGORIES.length).map(([value]) => value);
  const colors = values.map((value) => CATEGORIES[named.indexOf(String(value))] ?? OTHER);
  const key = named.map((value, index) => /** @type {[string, string]} */ ([CATEGORIES[index], value]));
  if (most.length > named.length) key.push([OTHER, `${most.length - named.length} others`]);
  return { colors, key };
}

/** @param {number[]} values */
function ramped(values) {
  const finite = values.filter(Number.isFinite);
  const low = Math.min(...finite);
  const high = Math.max(...finite);
  const colors = values.map((value) => ramp((value - low) / (high - low || 1)));
  const round = (/** @type {number} */ value) => String(Number(value.toPrecision(4)));
  /** @type {[string, string][]} */
  const key = [
    [ramp(0), round(low)],
    [ramp(0.5), round((low + high) / 2)],
    [ramp(1), round(high)],
  ];
  return { colors, key };
}
