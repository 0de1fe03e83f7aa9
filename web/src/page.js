/** The page's script: tabs, theme, keys and the views. */

import { readIsland, islandNames } from "./packing.js";
import { offerReload } from "./shell/reload.js";
import { offerHelp } from "./shell/help.js";
import { offerCopies } from "./shell/copies.js";
import { offerNulls } from "./shell/nulls.js";
import { offerPrinting } from "./shell/printing.js";
import { showTabs } from "./shell/tabs.js";
import { themeOf } from "./shell/theme.js";
import { stateOf } from "./state.js";

performance.mark("script");
const state = stateOf(window);
const theme = themeOf(state);

/** @type {import("./context.js").Context} */
const context = { state, islandNames, readIsland, theme: theme.shown, onTheme: theme.on };

showTabs(context);
offerCopies(document.body);
offerHelp();
offerNulls(state);
offerPrinting();
offerReload();
// Two frames later the first view has been painted.
requestAnimationFrame(() => requestAnimationFrame(() => performance.mark("visible")));
