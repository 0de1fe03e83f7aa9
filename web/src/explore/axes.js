/** Axes of the plots: frame, ticks and labels. */

import { fitting } from "../figures/surface.js";
import { numeral, ticks } from "./scales.js";

/**
 * @typedef {import("./scales.js").Range} Range
 * @typedef {{x: Range, y: Range, xLabel: string, yLabel: string, valueLabel?: string}} Axes
 *   `valueLabel`: quantity in color
 */

export const MARGIN = { left: 58, right: 12, top: 8, bottom: 40 };
const SIZE = 11.5;
const LEADING = 12;

/**
 * Rectangle in which the numbers of a plot are drawn.
 * @param {{width: number, height: number}} plot
 */
export function inner({ width, height }) {
  const { left, right, top, bottom } = MARGIN;
  return { left, top, width: Math.max(1, width - left - right), height: height - top - bottom };
}

/**
 * Draw grid, numbers and labels.
 * @param {import("../figures/surface.js").Surface} surface
 * @param {import("./plot.js").Plot} plot
 * @param {Axes} axes
 * @param {import("./colors.js").Palette} palette
 */
export function drawAxes(surface, plot, axes, palette) {
  const { left, top, width, height } = inner(plot);
  const [bottom, middle] = [top + height, top + height / 2];
  const line = { color: palette.line };
  const face = { color: palette.soft, size: SIZE };
  for (const tick of ticks(axes.x, Math.max(2, plot.width / 80))) {
    const x = Math.round(plot.x(tick)) + 0.5;
    surface.box(x - 0.5, top, 1, height, line);
    surface.word(numeral(tick), x, bottom + 5, { ...face, align: "middle", baseline: "top" });
  }
  for (const tick of ticks(axes.y, 4)) {
    const y = Math.round(plot.y(tick)) + 0.5;
    surface.box(left, y - 0.5, width, 1, line);
    surface.word(numeral(tick, 3), left - 5, y, { ...face, align: "end", baseline: "middle" });
  }
  const ink = { color: palette.ink, size: SIZE, align: /** @type {"middle"} */ ("middle") };
  const across = { ...ink, baseline: /** @type {"bottom"} */ ("bottom"), most: width };
  surface.word(axes.xLabel, left + width / 2, plot.height - 2, across);
  const rows = fitting(axes.yLabel, SIZE, height + 20).slice(0, 2);
  rows.forEach((row, index) => {
    const x = rows.length === 1 ? 12 : 6 + index * LEADING;
    const up = { ...ink, baseline: /** @type {"middle"} */ ("middle"), isUpright: true };
    surface.word(row, x, middle, { ...up, most: plot.height });
  });
}

/**
 * Draw the frame.
 * @param {import("../figures/surface.js").Surface} surface
 * @param {import("./plot.js").Plot} plot
 * @param {import("./colors.js").Palette} palette
 */
export function drawFrame(surface, plot, palette) {
  const { left, top, width, height } = inner(plot);
  outline(surface, left + 0.5, top + 0.5, width - 1, height - 1, { color: palette.line });
}

/**
 * Stroke a rectangle.
 * @param {import("../figures/surface.js").Surface} surface
 * @param {number} x
 * @param {number} y
 * @param {number} width
 * @param {number} height
 * @param {import("../figures/surface.js").Stroke} stroke
 */
export function outline(surface, x, y, width, height, stroke) {
  surface.begin();
  surface.move(x, y);
  surface.draw(x + width, y);
  surface.draw(x + width, y + height);
  surface.draw(x, y + height);
  surface.close();
  surface.stroke(stroke);
}
