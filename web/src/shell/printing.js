/** Printing: every figure of the view is drawn before, in the light theme. */

import { drawAll, drawNear } from "../figures/watch.js";

/**
 * Serve the button that prints the view.
 * @param {import("../state.js").State} state
 */
export function offerPrinting(state) {
  document.getElementById("print")?.addEventListener("click", async () => {
    const theme = state.get("theme");
    state.set({ theme: "light" });
    const view = document.querySelector("section.view:not([hidden])");
    if (view) await drawAll(view);
    await drawNear();
    window.print();
    state.set({ theme });
  });
}
