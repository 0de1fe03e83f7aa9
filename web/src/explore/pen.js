/**
 * Strokes in the numbers of a plot's axes.
 *
 * A stroke that shows numbers names its series. The same calls draw them (`Pen`) and list them
 * (`Ledger` in `table.js`), so that a file of numbers holds what is drawn.
 *
 * @typedef {{name: string, from: string, unit?: number, texts?: string[]}} Series
 *   `from`: how many texts or units, and how they were chosen; `texts`: text of each line
 * @typedef {{color: string, width?: number, dash?: number[], alpha?: number, series?: Series}} Look
 * @typedef {{middle?: ArrayLike<number>}} Middle line within a band, listed with it
 * @typedef {[ArrayLike<number> | null, ArrayLike<number>]} Path x, or null for 0, 1, 2, ...; and y
 *
 * @typedef {Object} Strokes
 * @property {(xs: Path[0], ys: Path[1], look: Look) => void} line
 *   line through points; a gap where one is undefined
 * @property {(paths: Path[], look: Look) => void} lines several lines of one look, in one stroke
 * @property {(low: ArrayLike<number>, high: ArrayLike<number>, look: Look & Middle) => void} band
 *   band between two lines over 0, 1, 2, ...
 * @property {(x: number, y: number, look: {color: string, size?: number, ring?: string}) => void} point
 * @property {(x: number, color: string) => void} upright vertical line, as of the selected site
 * @property {(x: number, y: number, look: Look & {value: number, label: string}) => void} cell
 *   square of size 1 about a point, whose color means a value
 * @property {(x: number, color: string) => void} column frame about the squares at `x`
 * @property {(text: string, x: number, y: number, color: string) => void} word
 */

import { inner, outline } from "./axes.js";

/** @implements {Strokes} */
export class Pen {
  /**
   * @param {import("../figures/surface.js").Surface} surface
   * @param {import("./plot.js").Plot} plot
   */
  constructor(surface, plot) {
    this.surface = surface;
    this.plot = plot;
  }

  /** @param {Path[0]} xs @param {Path[1]} ys @param {Look} look */
  line(xs, ys, look) {
    this.lines([[xs, ys]], look);
  }

  /** @param {Path[]} paths @param {Look} look */
  lines(paths, look) {
    const { surface, plot } = this;
    surface.begin();
    for (const [xs, ys] of paths) {
      let isDown = false;
      for (let index = 0; index < ys.length; index += 1) {
        const x = plot.x(xs === null ? index : xs[index]);
        const y = plot.y(ys[index]);
        const isDefined = Number.isFinite(x) && Number.isFinite(y);
        if (isDefined && isDown) surface.draw(x, y);
        else if (isDefined) surface.move(x, y);
        isDown = isDefined;
      }
    }
    const { color, width = 1.5, dash, alpha } = look;
    surface.stroke({ color, width, dash, alpha });
  }

  /** @param {ArrayLike<number>} low @param {ArrayLike<number>} high @param {Look & Middle} look */
  band(low, high, { color, alpha = 0.2 }) {
    const { surface, plot } = this;
    surface.begin();
    let start = 0;
    for (let end = 0; end <= low.length; end += 1) {
      if (end < low.length && Number.isFinite(low[end] + high[end])) continue;
      for (let index = start; index < end; index += 1) {
        const to = index === start ? surface.move : surface.draw;
        to.call(surface, plot.x(index), plot.y(low[index]));
      }
      for (let index = end - 1; index >= start; index -= 1) surface.draw(plot.x(index), plot.y(high[index]));
      if (end > start) surface.close();
      start = end + 1;
    }
    surface.fill({ color, alpha });
  }

  /** @param {number} x @param {number} y @param {{color: string, size?: number, ring?: string}} look */
  point(x, y, { color, size = 3, ring }) {
    const { surface, plot } = this;
    const [left, top] = [plot.x(x), plot.y(y)];
    if (!Number.isFinite(left) || !Number.isFinite(top)) return;
    surface.begin();
    surface.circle(left, top, size);
    surface.fill({ color });
    if (ring) surface.stroke({ color: ring, width: 1.5 });
  }

  /** @param {number} x @param {string} color */
  upright(x, color) {
    const { top, height } = inner(this.plot);
    this.surface.box(Math.round(this.plot.x(x)) - 0.5, top, 1, height, { color, alpha: 0.7 });
  }

  /** @param {number} x @param {number} y @param {Look & {value: number, label: string}} look */
  cell(x, y, { color }) {
    const { plot } = this;
    const [left, top] = [plot.x(x - 0.5), plot.y(y - 0.5)];
    // Half a pixel more, so that no gap is seen between squares.
    const [width, height] = [plot.x(x + 0.5) - left + 0.5, plot.y(y + 0.5) - top + 0.5];
    this.surface.box(left, top, width, height, { color });
  }

  /** @param {number} x @param {string} color */
  column(x, color) {
    const { plot } = this;
    const { top, height } = inner(plot);
    const left = plot.x(x - 0.5);
    outline(this.surface, left, top + 1, plot.x(x + 0.5) - left, height - 2, { color, width: 2 });
  }

  /** @param {string} text @param {number} x @param {number} y @param {string} color */
  word(text, x, y, color) {
    this.surface.word(text, this.plot.x(x) - 8, this.plot.y(y), { color, size: 11 });
  }
}
