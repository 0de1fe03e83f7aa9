/** Figures are drawn when they come near the screen, and again when theme or nulls change. */

import { Figure } from "./figure.js";
import { serveSaving } from "./saving.js";
import { sourceOf } from "./source.js";

// Distance from the screen at which a figure is drawn.
const NEAR = "600px";

/** @type {Figure[]} */
const figures = [];
/** @type {Set<Promise<void>>} */
const drawing = new Set();

/**
 * Draw each figure within an element when it comes near the screen.
 * @param {HTMLElement} root
 * @param {import("../context.js").Context} context
 */
export function watchFigures(root, context) {
  /** @type {Map<Element, Figure>} */
  const waiting = new Map();
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        const figure = waiting.get(target);
        if (!isIntersecting || !figure) continue;
        observer.unobserve(target);
        waiting.delete(target);
        track(figure.draw());
      }
    },
    { rootMargin: `${NEAR} 0px` },
  );
  for (const element of root.querySelectorAll(".figure")) {
    const figure = new Figure(/** @type {HTMLElement} */ (element), context);
    serveSaving(figure.box, sourceOf(figure));
    figures.push(figure);
    waiting.set(element, figure);
    observer.observe(element);
  }
  const again = () => {
    for (const figure of figures) if (root.contains(figure.element)) track(figure.again());
  };
  context.state.on(["null"], again);
  context.onTheme(again);
}

/** @param {Promise<void>} drawn */
function track(drawn) {
  drawing.add(drawn);
  void drawn.finally(() => drawing.delete(drawn));
}

/**
 * Draw every figure of an element that is not folded away.
 * @param {Element} root
 */
export async function drawAll(root) {
  const shown = figures.filter(
    ({ element }) => root.contains(element) && element.checkVisibility(),
  );
  await Promise.all(shown.map((figure) => figure.draw()));
}

/** Wait for the figures that are being drawn. */
export async function drawNear() {
  await Promise.all(drawing);
}
