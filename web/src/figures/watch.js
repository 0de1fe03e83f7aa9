/** Figures are drawn when they come near the screen. */

import { drawFigure } from "./figure.js";

// Distance from the screen, in screen heights, at which a figure is drawn.
const NEAR = "100%";

/**
 * Draw each figure within an element when it comes near the screen.
 * @param {HTMLElement} root
 * @param {import("../context.js").Context} context
 */
export function watchFigures(root, context) {
  const observer = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting || !(entry.target instanceof HTMLElement)) continue;
        observer.unobserve(entry.target);
        void drawFigure(entry.target, context);
      }
    },
    { rootMargin: `${NEAR} 0px` },
  );
  for (const element of root.querySelectorAll(".figure")) observer.observe(element);
}
