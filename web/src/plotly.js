/** The part of plotly that the page draws with: lines, points and matrices, in SVG. */

import core from "plotly.js/lib/core";
import heatmap from "plotly.js/lib/heatmap";

core.register([heatmap]);

export const { newPlot, react, restyle, relayout, purge, toImage, Plots } = core;
