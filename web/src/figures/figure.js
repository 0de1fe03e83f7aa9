/** One figure of the page: drawn once, then drawn again when theme, nulls or width change. */

import { onScreen } from "./flat.js";
import { plotly } from "./library.js";
import { paint } from "./painting.js";
import { FIRST_VIEW, turned } from "./projection.js";
import { shapesOf } from "./space.js";
import { isInSpace, readSpecification, roleOf } from "./specification.js";
import { CanvasSurface } from "./surface.js";
import { seriesColor } from "./theme.js";

const CONFIG = {
  responsive: true,
  displaylogo: false,
  modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
};
const ARROWS = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, -10], ArrowDown: [0, 10] };

/** A figure in its place on the page. */
export class Figure {
  /**
   * @param {HTMLElement} element place of the figure
   * @param {import("../context.js").Context} context
   */
  constructor(element, context) {
    this.element = element;
    this.box = element.closest("figure") ?? element;
    this._context = context;
    /** @type {Set<number>} */
    this.hidden = new Set();
    this.view = FIRST_VIEW;
    /** @type {import("./specification.js").Specification} */
    this.specification = { data: [], layout: {} };
    /** @type {Promise<void> | null} */
    this._drawn = null;
  }

  /** Name of the figure, for its files. @returns {string} */
  get title() {
    return this.box.querySelector("h4")?.textContent ?? "figure";
  }

  /** Whether the switch of the null models is on. */
  get areNullsShown() {
    return this._context.state.get("null") !== "off";
  }

  /** Whether each trace is shown: its legend and the switch of the nulls decide. */
  get visible() {
    return this.specification.data.map(
      (trace, index) => !this.hidden.has(index) && (this.areNullsShown || roleOf(trace) !== "null"),
    );
  }

  /** Read the specification and draw it; again only what has changed. @returns {Promise<void>} */
  draw() {
    this._drawn ??= this._first();
    return this._drawn;
  }

  /** Draw again what has been drawn before. */
  async again() {
    if (!this._drawn) return;
    await this._drawn;
    await this._paint();
  }

  async _first() {
    const island = this._context.readIsland(this.element.dataset.figure ?? "");
    this.specification = await readSpecification(island);
    this.specification.data.forEach((trace, index) => {
      if (trace.visible === "legendonly") this.hidden.add(index);
    });
    this._serveLegend();
    if (isInSpace(this.specification)) this._serveTurning();
    await this._paint();
    this.element.dataset.drawn = "yes";
  }

  async _paint() {
    if (isInSpace(this.specification)) {
      this._paintSpace();
    } else {
      const library = await plotly();
      const { clientWidth: width, clientHeight: height } = this.element;
      const { visible, areNullsShown } = this;
      const look = { width, theme: this._context.theme(), visible, areNullsShown };
      const { data, layout } = onScreen(this.specification, height, look);
      await library.react(this.element, data, layout, CONFIG);
    }
    this._paintLegend();
  }

  _paintSpace() {
    const canvas = /** @type {HTMLCanvasElement} */ (this.element.querySelector("canvas"));
    const context = canvas?.getContext("2d");
    if (!context) return;
    const { clientWidth: width, clientHeight: height } = this.element;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    context.scale(ratio, ratio);
    const look = {
      width,
      height,
      theme: this._context.theme(),
      visible: this.visible,
      view: this.view,
    };
    paint(new CanvasSurface(context), shapesOf(this.specification, look));
  }

  _serveTurning() {
    const canvas = document.createElement("canvas");
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${this.title}; drag or use the arrow keys to turn it`);
    this.element.replaceChildren(canvas);
    let isQueued = false;
    const turn = (/** @type {number} */ right, /** @type {number} */ down) => {
      this.view = turned(this.view, right, down);
      if (isQueued) return;
      isQueued = true;
      requestAnimationFrame(() => {
        isQueued = false;
        this._paintSpace();
      });
    };
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      if (canvas.hasPointerCapture(event.pointerId)) turn(event.movementX, event.movementY);
    });
    canvas.addEventListener("keydown", (event) => {
      const by = ARROWS[/** @type {keyof typeof ARROWS} */ (event.key)];
      if (!by) return;
      event.preventDefault();
      event.stopPropagation();
      turn(by[0], by[1]);
    });
    new ResizeObserver(() => this._paintSpace()).observe(this.element);
  }

  _serveLegend() {
    for (const button of this.box.querySelectorAll("button.series")) {
      button.addEventListener("click", () => {
        const traces = tracesOf(button);
        const isHidden = traces.every((index) => this.hidden.has(index));
        for (const index of traces) {
          if (isHidden) this.hidden.delete(index);
          else this.hidden.add(index);
        }
        void this.again();
      });
    }
  }

  _paintLegend() {
    const visible = this.visible;
    for (const button of this.box.querySelectorAll("button.series")) {
      const isShown = tracesOf(button).some((index) => visible[index]);
      button.setAttribute("aria-pressed", String(isShown));
      const swatch = /** @type {HTMLElement | null} */ (button.querySelector(".swatch"));
      const color = seriesColor(swatch?.dataset.color ?? "", this._context.theme());
      swatch?.style.setProperty("--series", color);
    }
  }
}

/**
 * Indices of the traces of a legend's entry.
 * @param {Element} button
 * @returns {number[]}
 */
function tracesOf(button) {
  return /** @type {HTMLElement} */ (button).dataset.traces?.split(",").map(Number) ?? [];
}
