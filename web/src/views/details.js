/** The view Details: every measure and perturbation, texts, provenance, methods, references. */

import { offerSearch } from "../shell/search.js";
import { watchFigures } from "../figures/watch.js";

/**
 * Draw the figures of the view when they come near the screen, and serve its search.
 * @param {HTMLElement} root
 * @param {import("../context.js").Context} context
 */
export function mount(root, context) {
  offerSearch(root);
  watchFigures(root, context);
}
