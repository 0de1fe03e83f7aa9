/** Printing: every figure of the view is drawn before. */

import { drawAll } from "../figures/watch.js";

/** Serve the button that prints the view. */
export function offerPrinting() {
  document.getElementById("print")?.addEventListener("click", async () => {
    const view = document.querySelector("section.view:not([hidden])");
    if (view) await drawAll(view);
    window.print();
  });
}
