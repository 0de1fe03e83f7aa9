/** The script of a comparison's page: theme, links, figures, and the choice of claims. */

import { readIsland, islandNames } from "./packing.js";
import { watchFigures } from "./figures/watch.js";
import { offerCopies } from "./shell/copies.js";
import { offerNulls } from "./shell/nulls.js";
import { offerPrinting } from "./shell/printing.js";
import { themeOf } from "./shell/theme.js";
import { stateOf } from "./state.js";

const state = stateOf(window);
const theme = themeOf(state);

/** @type {import("./context.js").Context} */
const context = { state, islandNames, readIsland, theme: theme.shown, onTheme: theme.on };

offerCopies(state);
offerNulls(state);
offerPrinting(state);
watchFigures(document.body, context);
followLinks();
chooseClaims();

/** Links within the page keep the rest of the state. */
function followLinks() {
  const goTo = () => document.getElementById(state.get("at"))?.scrollIntoView();
  goTo();
  state.on(["at"], goTo);
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a[href^='#']") : null;
    if (!(link instanceof HTMLAnchorElement) || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const id = decodeURIComponent(link.hash.slice(1));
    if (state.get("at") === id) goTo();
    else state.set({ at: id });
  });
}

/** The box that hides claims with the same verdict in all runs. */
function chooseClaims() {
  const box = document.getElementById("only-changed");
  if (!(box instanceof HTMLInputElement)) return;
  const apply = () => {
    box.checked = state.get("changed") === "only";
    document.body.classList.toggle("only-changed", box.checked);
  };
  apply();
  state.on(["changed"], apply);
  box.addEventListener("change", () => state.set({ changed: box.checked ? "only" : null }));
}
