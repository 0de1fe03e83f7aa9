/** The page's script: tabs, theme, keys and the views. */

import { plotly } from "./figures/library.js";
import { drawNear } from "./figures/watch.js";
import { readIsland, islandNames } from "./packing.js";
import { offerReload } from "./shell/reload.js";
import { offerHelp } from "./shell/help.js";
import { offerCopies } from "./shell/copies.js";
import { offerNulls } from "./shell/nulls.js";
import { offerPrinting } from "./shell/printing.js";
import { showTabs } from "./shell/tabs.js";
import { themeOf } from "./shell/theme.js";
import { stateOf } from "./state.js";

const state = stateOf(window);
const theme = themeOf(state);

/** @type {import("./context.js").Context} */
const context = { state, islandNames, readIsland, theme: theme.shown, onTheme: theme.on };

showTabs(context);
offerCopies(state);
offerHelp();
offerNulls(state);
offerPrinting(state);
offerReload();
// Two frames later the first view has been painted; then what is near the screen is drawn.
requestAnimationFrame(() =>
  requestAnimationFrame(async () => {
    performance.mark("page.visible");
    if (readIsland("plotly")) await plotly();
    await drawNear();
    performance.mark("page.usable");
  }),
);
