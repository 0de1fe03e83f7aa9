/** Figures in the plane: what the plotting library receives, for the screen and for a file. */

import { linesOf } from "./surface.js";
import { colorsOf, templateOf, themedTrace } from "./theme.js";

/**
 * @typedef {import("./specification.js").Specification} Specification
 * @typedef {{width: number, theme: import("./theme.js").Theme, visible: boolean[],
 *   areNullsShown: boolean}} Look
 *   `visible` says of each trace whether it is shown.
 */

// Width in pixels below which margins, type and color scale are those of a phone.
const NARROW = 560;
const CHARACTER = 7.2;
// Characters of a row's name in one line of a narrow figure.
const NAME = 24;
// Least distance of ticks in pixels.
const TICK = 75;

const NO_NUMBER = {
  text: "No value is defined here.",
  showarrow: false,
  x: 0.5,
  y: 0.5,
  xref: "paper",
  yref: "paper",
};

/**
 * Whether a figure has any defined value.
 * @param {Specification} specification
 * @returns {boolean}
 */
export function hasNumber({ data }) {
  const isNumber = (/** @type {any} */ value) => typeof value !== "number" || !Number.isNaN(value);
  return data.some((trace) =>
    trace.z && trace.type === "heatmap"
      ? trace.z.some((/** @type {any} */ row) => row.some(isNumber))
      : trace.meta?.part !== "band" && trace.x.some((/** @type {any} */ x, /** @type {number} */ i) =>
          isNumber(x) && isNumber(trace.y[i])),
  );
}

/**
 * Figure for the screen; its title and legend are parts of the page.
 * @param {Specification} specification
 * @param {number} height
 * @param {Look} look
 */
export function onScreen(specification, height, look) {
  const { layout } = specification;
  const isNarrow = look.width < NARROW;
  const size = isNarrow ? 10.5 : 12;
  const hasSlider = Boolean(layout.sliders);
  const isMap = hasMap(specification);
  const shared = {
    ...layout,
    title: undefined,
    showlegend: false,
    height,
    width: undefined,
    autosize: true,
    template: templateOf(look.theme),
    font: { size },
    margin: { l: isNarrow ? 48 : 70, r: isNarrow ? 8 : 20, t: 30, b: hasSlider ? 120 : 55 },
    ...ownRanges(specification, {
      xaxis: wrapped(layout.xaxis, look.width - namesWidth(specification, isNarrow, size), isMap),
      yaxis: withNames(wrapped(layout.yaxis, height - 120, isMap), specification, isNarrow),
    }, look),
    // A finger that drags over a figure scrolls the page.
    dragmode: isNarrow ? false : "zoom",
    ...(layout.plot_bgcolor ? { plot_bgcolor: colorsOf(look.theme).none } : {}),
    annotations: hasNumber(specification) ? [] : [NO_NUMBER],
  };
  return { data: shownTraces(specification, look, isNarrow, height), layout: shared };
}

/**
 * Figure for a file, with its title and its legend, on white.
 * @param {Specification} specification
 * @param {Pick<Look, "visible" | "areNullsShown">} shown
 */
export function inFile(specification, { visible, areNullsShown }) {
  const look = { width: 900, theme: /** @type {"light"} */ ("light"), visible, areNullsShown };
  const { layout } = specification;
  const data = shownTraces(specification, look, false, layout.height).filter((trace) => {
    return trace.visible === true;
  });
  const isMap = hasMap(specification);
  const drawn = {
    ...layout,
    template: templateOf("light"),
    width: look.width,
    sliders: undefined,
    ...ownRanges(specification, {
      xaxis: wrapped(layout.xaxis, look.width, isMap),
      yaxis: wrapped(layout.yaxis, layout.height - 120, isMap),
    }, look),
  };
  return { data, layout: drawn };
}

/**
 * Axes of a map that end where its null models begin, while these are hidden.
 * @param {Specification} specification
 * @param {{xaxis: any, yaxis: any}} axes
 * @param {Look} look
 */
function ownRanges({ data }, axes, { areNullsShown }) {
  const own = data.find((trace) => trace.meta?.own)?.meta.own ?? {};
  const ranged = (/** @type {any} */ axis, /** @type {number | undefined} */ end) =>
    end === undefined || areNullsShown ? axis : { ...axis, range: [-0.5, end - 0.5] };
  return { xaxis: ranged(axes.xaxis, own.x), yaxis: ranged(axes.yaxis, own.y) };
}

/**
 * Names of rows, each in lines that leave room for the figure.
 * @param {Specification} specification
 * @param {boolean} isNarrow
 * @returns {Map<string, string[]>}
 */
function rowNames({ data }, isNarrow) {
  const names = data.flatMap(({ type, y }) => (type !== "heatmap" && typeof y?.[0] === "string" ? [...y] : []));
  return new Map(names.map((name) => [name, linesOf(name, isNarrow ? NAME : Infinity)]));
}

/**
 * Axis with the names of rows in lines.
 * @param {any} axis
 * @param {Specification} specification
 * @param {boolean} isNarrow
 */
function withNames(axis, specification, isNarrow) {
  const names = rowNames(specification, isNarrow);
  if (!isNarrow || !names.size || axis?.tickvals) return axis;
  const ticktext = [...names.values()].map((lines) => lines.join("<br>"));
  return { ...axis, tickmode: "array", tickvals: [...names.keys()], ticktext };
}

/**
 * Width that the names of rows take, next to which the label of the first axis is centered.
 * @param {Specification} specification
 * @param {boolean} isNarrow
 * @param {number} size of the type
 */
function namesWidth(specification, isNarrow, size) {
  const lines = [...rowNames(specification, isNarrow).values()].flat();
  return Math.max(0, ...lines.map((line) => line.length)) * size * 0.5;
}

/** @param {Specification} specification */
function hasMap({ data }) {
  return data.some((trace) => trace.type === "heatmap");
}

/**
 * @param {Specification} specification
 * @param {Look} look
 * @param {boolean} isNarrow
 * @param {number} height
 */
function shownTraces({ data, layout }, look, isNarrow, height) {
  return data.map((trace, index) => {
    const drawn = { ...themedTrace(trace, look.theme) };
    // A slider decides which of its traces is shown.
    drawn.visible = layout.sliders ? trace.visible : look.visible[index];
    if (trace.colorbar) drawn.colorbar = colorbar(trace.colorbar, isNarrow, look.width, height);
    return drawn;
  });
}

/**
 * Scale of colors at the side, or below a narrow figure.
 * @param {any} bar
 * @param {boolean} isNarrow
 * @param {number} width
 * @param {number} height
 */
function colorbar(bar, isNarrow, width, height) {
  const text = bar.title?.text ?? "";
  if (!isNarrow) {
    return { ...bar, thickness: 16, title: { ...bar.title, text: wrap(text, height - 120) } };
  }
  return {
    ...bar,
    orientation: "h",
    thickness: 10,
    y: -0.32,
    yanchor: "top",
    title: { text: wrap(text, width - 40), side: "bottom" },
  };
}

/**
 * Axis whose label is broken into lines that fit, and whose ticks do not touch.
 * @param {any} axis
 * @param {number} length pixels
 * @param {boolean} isOfMap
 */
function wrapped(axis, length, isOfMap) {
  const text = axis?.title?.text;
  // Names of a map's columns or rows, of which only a few can be read.
  const isFull = isOfMap && !axis?.tickvals;
  const fewer = isFull ? { nticks: Math.max(3, Math.round(length / TICK)) } : {};
  const spaced = { ...fewer, ...axis };
  return text ? { ...spaced, title: { ...axis.title, text: wrap(text, length) } } : spaced;
}

/**
 * Text in lines that fit into a length.
 * @param {string} text with plotly's escapes
 * @param {number} length pixels
 * @returns {string}
 */
export function wrap(text, length) {
  return linesOf(text, Math.max(12, Math.floor(length / CHARACTER))).join("<br>");
}
