/** The view Paper: findings in the paper's order. Its text is in the page; the script draws. */

import { watchFigures } from "../figures/watch.js";

/**
 * Draw the figures of the view when they come near the screen.
 * @param {HTMLElement} root
 * @param {import("../context.js").Context} context
 */
export function mount(root, context) {
  watchFigures(root, context);
}
