/**
 * A plot on two canvases: a base with axes, and a highlight that is drawn anew at every step.
 *
 * @typedef {import("./scales.js").Range} Range
 * @typedef {{color: string, width?: number, dash?: number[], alpha?: number}} Look
 * @typedef {{words: string, changes: Record<string, string | number>}} Found
 *   what lies under the pointer, and the selection that a click makes of it
 * @typedef {(x: number, y: number, plot: Plot) => Found | null} Locate in pixels of the plot
 */

import { element } from "./elements.js";
import { linear, numeral, ticks } from "./scales.js";

const MARGIN = { left: 58, right: 12, top: 8, bottom: 40 };
const FONT = "11.5px system-ui, sans-serif";

export class Plot {
  /**
   * @param {HTMLElement} root
   * @param {{name: string, title: string, height?: number, turns?: boolean}} options
   * @param {() => void} redraw called when the size has changed
   */
  constructor(root, { name, title, height = 230, turns = false }, redraw) {
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
   * @param {{x: Range, y: Range, xLabel: string, yLabel: string, bare?: boolean}} axes
   * @param {import("./colors.js").Palette} palette
   * @param {(pen: Pen) => void} paint
   */
  drawBase(axes, palette, paint) {
    const right = Math.max(MARGIN.left + 1, this.width - MARGIN.right);
    this.x = linear(axes.x, [MARGIN.left, right]);
    this.y = linear(axes.y, [this.height - MARGIN.bottom, MARGIN.top]);
    this.inverseX = linear([MARGIN.left, right], axes.x);
    this.inverseY = linear([this.height - MARGIN.bottom, MARGIN.top], axes.y);
    const pen = this._pen(this.base, false);
    if (!pen) return;
    if (!axes.bare) drawAxes(pen.canvas, this, axes, palette);
    this._inside(pen, () => paint(pen));
    pen.canvas.strokeStyle = palette.line;
    pen.canvas.lineWidth = 1;
    pen.canvas.strokeRect(
      MARGIN.left + 0.5,
      MARGIN.top + 0.5,
      right - MARGIN.left - 1,
      this.height - MARGIN.bottom - MARGIN.top - 1,
    );
  }

  /**
   * Draw the highlight.
   * @param {(pen: Pen) => void} paint
   */
  drawTop(paint) {
    const pen = this._pen(this.top, true);
    if (pen) this._inside(pen, () => paint(pen));
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
   * @param {[string, string, ("line" | "dash" | "band" | "dot")?][]} entries color, words, mark
   */
  name(entries) {
    const marks = entries.map(([color, words, mark = "line"]) => {
      const sign = element("i", { class: `mark ${mark}` });
      sign.style.setProperty("--mark", color);
      return element("span", {}, [sign, element("span", { text: words })]);
    });
    this.legend.replaceChildren(...marks);
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {boolean} isTop
   * @returns {Pen | null}
   */
  _pen(canvas, isTop) {
    const context = canvas.getContext("2d", { alpha: true });
    if (!context || !this.width) return null;
    const ratio = canvas.width / this.width;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    return new Pen(context, this, isTop);
  }

  /**
   * @param {Pen} pen
   * @param {() => void} paint
   */
  _inside(pen, paint) {
    pen.canvas.save();
    pen.canvas.beginPath();
    const width = this.width - MARGIN.left - MARGIN.right;
    pen.canvas.rect(MARGIN.left, MARGIN.top, width, this.height - MARGIN.top - MARGIN.bottom);
    pen.canvas.clip();
    paint();
    pen.canvas.restore();
  }
}

/** Strokes in the numbers of a plot's axes. */
export class Pen {
  /**
   * @param {CanvasRenderingContext2D} canvas
   * @param {Plot} plot
   * @param {boolean} isTop
   */
  constructor(canvas, plot, isTop) {
    this.canvas = canvas;
    this.plot = plot;
    this.isTop = isTop;
  }

  /**
   * Line through points; a gap where one is undefined.
   * @param {ArrayLike<number> | null} xs null: 0, 1, 2, ...
   * @param {ArrayLike<number>} ys
   * @param {Look} look
   */
  line(xs, ys, look) {
    this.lines([[xs, ys]], look);
  }

  /**
   * Several lines of one look, in one stroke.
   * @param {[ArrayLike<number> | null, ArrayLike<number>][]} paths
   * @param {Look} look
   */
  lines(paths, { color, width = 1.5, dash = [], alpha = 1 }) {
    const { canvas, plot } = this;
    canvas.beginPath();
    for (const [xs, ys] of paths) {
      let isDown = false;
      for (let index = 0; index < ys.length; index += 1) {
        const x = plot.x(xs === null ? index : xs[index]);
        const y = plot.y(ys[index]);
        if (Number.isFinite(x) && Number.isFinite(y)) {
          if (isDown) canvas.lineTo(x, y);
          else canvas.moveTo(x, y);
          isDown = true;
        } else isDown = false;
      }
    }
    canvas.globalAlpha = alpha;
    canvas.strokeStyle = color;
    canvas.lineWidth = width;
    canvas.lineJoin = "round";
    canvas.setLineDash(dash);
    canvas.stroke();
    canvas.setLineDash([]);
    canvas.globalAlpha = 1;
  }

  /**
   * Band between two lines over 0, 1, 2, ...
   * @param {ArrayLike<number>} low
   * @param {ArrayLike<number>} high
   * @param {Look} look
   */
  band(low, high, { color, alpha = 0.2 }) {
    const { canvas, plot } = this;
    canvas.beginPath();
    for (let index = 0; index < low.length; index += 1) canvas.lineTo(plot.x(index), plot.y(low[index]));
    for (let index = high.length - 1; index >= 0; index -= 1) {
      canvas.lineTo(plot.x(index), plot.y(high[index]));
    }
    canvas.closePath();
    canvas.globalAlpha = alpha;
    canvas.fillStyle = color;
    canvas.fill();
    canvas.globalAlpha = 1;
  }

  /**
   * A point.
   * @param {number} x
   * @param {number} y
   * @param {{color: string, size?: number, ring?: string}} look
   */
  point(x, y, { color, size = 3, ring }) {
    const { canvas, plot } = this;
    const [left, top] = [plot.x(x), plot.y(y)];
    if (!Number.isFinite(left) || !Number.isFinite(top)) return;
    canvas.beginPath();
    canvas.arc(left, top, size, 0, 2 * Math.PI);
    canvas.fillStyle = color;
    canvas.fill();
    if (ring) {
      canvas.strokeStyle = ring;
      canvas.lineWidth = 1.5;
      canvas.stroke();
    }
  }

  /**
   * Vertical line, such as that of the selected site.
   * @param {number} x
   * @param {string} color
   */
  upright(x, color) {
    const { canvas, plot } = this;
    canvas.fillStyle = color;
    canvas.globalAlpha = 0.7;
    canvas.fillRect(Math.round(plot.x(x)) - 0.5, MARGIN.top, 1, plot.height - MARGIN.top - MARGIN.bottom);
    canvas.globalAlpha = 1;
  }
}

/**
 * @param {CanvasRenderingContext2D} canvas
 * @param {Plot} plot
 * @param {{x: Range, y: Range, xLabel: string, yLabel: string}} axes
 * @param {import("./colors.js").Palette} palette
 */
function drawAxes(canvas, plot, axes, palette) {
  const bottom = plot.height - MARGIN.bottom;
  canvas.font = FONT;
  canvas.lineWidth = 1;
  for (const tick of ticks(axes.x, Math.max(2, plot.width / 80))) {
    const x = Math.round(plot.x(tick)) + 0.5;
    canvas.fillStyle = palette.line;
    canvas.fillRect(x - 0.5, MARGIN.top, 1, bottom - MARGIN.top);
    canvas.fillStyle = palette.soft;
    canvas.textAlign = "center";
    canvas.textBaseline = "top";
    canvas.fillText(numeral(tick), x, bottom + 5);
  }
  for (const tick of ticks(axes.y, 4)) {
    const y = Math.round(plot.y(tick)) + 0.5;
    canvas.fillStyle = palette.line;
    canvas.fillRect(MARGIN.left, y - 0.5, plot.width - MARGIN.left - MARGIN.right, 1);
    canvas.fillStyle = palette.soft;
    canvas.textAlign = "right";
    canvas.textBaseline = "middle";
    canvas.fillText(numeral(tick, 3), MARGIN.left - 5, y);
  }
  canvas.fillStyle = palette.ink;
  canvas.textAlign = "center";
  canvas.textBaseline = "bottom";
  const width = plot.width - MARGIN.left - MARGIN.right;
  canvas.fillText(axes.xLabel, MARGIN.left + width / 2, plot.height - 2, width);
  canvas.save();
  canvas.translate(12, MARGIN.top + (bottom - MARGIN.top) / 2);
  canvas.rotate(-Math.PI / 2);
  canvas.textBaseline = "middle";
  canvas.fillText(axes.yLabel, 0, 0, bottom - MARGIN.top + 20);
  canvas.restore();
}
