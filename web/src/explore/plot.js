/**
 * A plot on two canvases: a base with axes, and a highlight that is drawn anew at every step.
 *
 * What was drawn last can be drawn again on another surface, or listed.
 *
 * @typedef {[string, string, ("line" | "dash" | "band" | "dot")?]} Entry color, words, mark
 * @typedef {(pen: import("./pen.js").Strokes) => void} Paint
 * @typedef {{words: string, changes: Record<string, string | number>}} Found
 *   what lies under the pointer, and the selection that a click makes of it
 * @typedef {(x: number, y: number, plot: Plot) => Found | null} Locate in pixels of the plot
 */

import { CanvasSurface } from "../figures/surface.js";
import { drawAxes, drawFrame, inner } from "./axes.js";
import { element } from "./elements.js";
import { Pen } from "./pen.js";
import { linear } from "./scales.js";

export class Plot {
  /**
   * @param {HTMLElement} root
   * @param {{name: string, title: string, height?: number, turns?: boolean, isColored?: boolean}} options
   *   `isColored`: its texts take the colors of a label
   * @param {() => void} redraw called when the size has changed
   */
  constructor(root, { name, title, height = 230, turns = false, isColored = false }, redraw) {
    this.isColored = isColored;
    this.heading = element("h3", { text: title });
    this.legend = element("p", { class: "legend" });
    this.readout = element("output", { class: "readout" });
    this.stage = element("div", { class: turns ? "stage turns" : "stage" });
    this.tip = element("div", { class: "tip", hidden: "" });
    this.figure = element("figure", { class: "plot", "data-plot": name }, [
      this.heading,
      this.legend,
      this.stage,
      this.readout,
    ]);
    this.stage.style.height = `${height}px`;
    this.height = height;
    this.width = 0;
    this.x = linear([0, 1], [0, 1]);
    this.y = this.x;
    /** @type {Entry[]} */
    this.entries = [];
    /** @type {{axes: import("./axes.js").Axes, palette: import("./colors.js").Palette, paint: Paint} | null} */
    this.drawn = null;
    /** @type {Paint | null} */
    this.highlight = null;
    this.base = element("canvas", { "aria-hidden": "true" });
    this.top = element("canvas", { "aria-hidden": "true" });
    this.stage.append(this.base, this.top, this.tip);
    root.append(this.figure);
    new ResizeObserver(() => {
      if (this.stage.clientWidth !== this.width && this.stage.clientWidth > 0) {
        this.fit();
        redraw();
      }
    }).observe(this.stage);
    this.fit();
  }

  /** Give the canvases the pixels of the screen. */
  fit() {
    this.width = this.stage.clientWidth;
    const ratio = window.devicePixelRatio || 1;
    for (const canvas of [this.base, this.top]) {
      canvas.width = Math.round(this.width * ratio);
      canvas.height = Math.round(this.height * ratio);
    }
  }

  /**
   * Draw the base: axes, then what a function paints within them.
   * @param {import("./axes.js").Axes} axes
   * @param {import("./colors.js").Palette} palette
   * @param {Paint} paint
   */
  drawBase(axes, palette, paint) {
    const { left, top, width, height } = inner(this);
    this.x = linear(axes.x, [left, left + width]);
    this.y = linear(axes.y, [top + height, top]);
    this.inverseX = linear([left, left + width], axes.x);
    this.inverseY = linear([top + height, top], axes.y);
    this.drawn = { axes, palette, paint };
    const surface = this._cleared(this.base);
    if (surface) this._drawBase(surface);
  }

  /**
   * Draw the highlight.
   * @param {Paint} paint
   */
  drawTop(paint) {
    this.highlight = paint;
    const surface = this._cleared(this.top);
    if (surface) this._inside(surface, paint);
  }

  /**
   * Draw base and highlight once more, on another surface.
   * @param {import("../figures/surface.js").Surface} surface
   */
  drawOn(surface) {
    this._drawBase(surface);
    if (this.highlight) this._inside(surface, this.highlight);
  }

  /**
   * List the numbers of what is drawn.
   * @param {import("./pen.js").Strokes} strokes
   */
  list(strokes) {
    this.drawn?.paint(strokes);
    this.highlight?.(strokes);
  }

  /**
   * Show what lies under the pointer, and select it on a click.
   * @param {Locate} locate
   * @param {(changes: Record<string, string | number>) => void} select
   */
  offer(locate, select) {
    const at = (/** @type {MouseEvent} */ event) => {
      const box = this.stage.getBoundingClientRect();
      return /** @type {[number, number]} */ ([event.clientX - box.left, event.clientY - box.top]);
    };
    this.stage.addEventListener("pointermove", (event) => {
      const [x, y] = at(event);
      const known = event.buttons ? null : locate(x, y, this);
      this.tip.hidden = known === null;
      if (known === null) return;
      this.tip.textContent = known.words;
      const isRight = x > this.width / 2;
      this.tip.style.left = isRight ? "" : `${x + 12}px`;
      this.tip.style.right = isRight ? `${this.width - x + 12}px` : "";
      this.tip.style.top = `${Math.max(0, y - 30)}px`;
    });
    this.stage.addEventListener("pointerleave", () => {
      this.tip.hidden = true;
    });
    this.stage.addEventListener("click", (event) => {
      const known = locate(...at(event), this);
      if (known) select(known.changes);
    });
  }

  /**
   * Name the lines and bands in their colors.
   * @param {Entry[]} entries
   */
  name(entries) {
    this.entries = entries;
    const marks = entries.map(([color, words, mark = "line"]) => {
      const sign = element("i", { class: `mark ${mark}` });
      sign.style.setProperty("--mark", color);
      return element("span", {}, [sign, element("span", { text: words })]);
    });
    this.legend.replaceChildren(...marks);
  }

  /** @param {import("../figures/surface.js").Surface} surface */
  _drawBase(surface) {
    if (!this.drawn) return;
    const { axes, palette, paint } = this.drawn;
    drawAxes(surface, this, axes, palette);
    this._inside(surface, paint);
    drawFrame(surface, this, palette);
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @returns {CanvasSurface | null}
   */
  _cleared(canvas) {
    const context = canvas.getContext("2d", { alpha: true });
    if (!context || !this.width) return null;
    const ratio = canvas.width / this.width;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    return new CanvasSurface(context);
  }

  /**
   * @param {import("../figures/surface.js").Surface} surface
   * @param {Paint} paint
   */
  _inside(surface, paint) {
    const { left, top, width, height } = inner(this);
    surface.within(left, top, width, height, () => paint(new Pen(surface, this)));
  }
}
