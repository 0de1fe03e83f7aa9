/** The view Details: every measure and perturbation, texts, provenance, methods, references. */

import { watchFigures } from "../figures/watch.js";

/**
 * Draw the figures of the view when they come near the screen.
 * @param {HTMLElement} root
 * @param {import("../context.js").Context} context
 */
export function mount(root, context) {
  watchFigures(root, context);
}
