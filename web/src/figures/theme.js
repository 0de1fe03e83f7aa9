/** Colors of figures in the light and in the dark theme; both keep to a color-blind-safe palette. */

/**
 * @typedef {"light" | "dark"} Theme
 * @typedef {{ink: string, soft: string, grid: string, paper: string, none: string}} Colors
 */

/** @type {Record<Theme, Colors>} */
const COLORS = {
  light: { ink: "#2a3f5f", soft: "#57606a", grid: "#e4eaf2", paper: "#ffffff", none: "#bdbdbd" },
  dark: { ink: "#d5dce4", soft: "#9da7b3", grid: "#2b323c", paper: "#12161c", none: "#5a6068" },
};
// Colors of series that are too dark on the dark page, and lighter ones of the same hue.
/** @type {Record<string, string>} */
const LIGHTER = {
  "#0072b2": "#3b9ae1",
  "#56b4e9": "#a8dcff",
  "#004466": "#8f9dff",
  "#2a9d8f": "#45c4b4",
  "#6a4fb3": "#c78bea",
  "#d55e00": "#ff8a3d",
  "#009e73": "#2fd0a2",
  "#8c6d31": "#c9a55c",
  "#7f7f7f": "#a6adb5",
  "#a0522d": "#d98a63",
  "#444444": "#c3cad1",
};

/**
 * Colors of text, grid and page.
 * @param {Theme} theme
 * @returns {Colors}
 */
export function colorsOf(theme) {
  return COLORS[theme];
}

/**
 * Color of a series in a theme.
 * @param {string} color `#rrggbb`, or `rgba(r,g,b,a)` of a band
 * @param {Theme} theme
 * @returns {string}
 */
export function seriesColor(color, theme) {
  if (theme === "light" || typeof color !== "string") return color;
  const band = /^rgba\((\d+),(\d+),(\d+),([\d.]+)\)$/.exec(color.replace(/\s/g, ""));
  if (!band) return LIGHTER[color.toLowerCase()] ?? color;
  const hex = band.slice(1, 4).map((part) => Number(part).toString(16).padStart(2, "0"));
  const lighter = LIGHTER[`#${hex.join("")}`];
  if (!lighter) return color;
  const parts = [1, 3, 5].map((start) => parseInt(lighter.slice(start, start + 2), 16));
  return `rgba(${parts.join(",")},${band[4]})`;
}

/**
 * Trace with the colors of a theme.
 * @param {any} trace
 * @param {Theme} theme
 */
export function themedTrace(trace, theme) {
  if (theme === "light") return trace;
  const themed = { ...trace };
  if (trace.fillcolor) themed.fillcolor = seriesColor(trace.fillcolor, theme);
  for (const part of ["line", "marker", "error_x"]) {
    const color = trace[part]?.color;
    if (color) themed[part] = { ...trace[part], color: seriesColor(color, theme) };
  }
  return themed;
}

/**
 * Plotly's template of a theme.
 * @param {Theme} theme
 */
export function templateOf(theme) {
  const { ink, grid, paper } = colorsOf(theme);
  const axis = {
    gridcolor: grid,
    linecolor: grid,
    zerolinecolor: grid,
    zerolinewidth: 2,
    automargin: true,
    ticks: "",
    title: { standoff: 12 },
  };
  return {
    layout: {
      font: { color: ink },
      paper_bgcolor: paper,
      plot_bgcolor: paper,
      hovermode: "closest",
      hoverlabel: { align: "left" },
      autotypenumbers: "strict",
      xaxis: axis,
      yaxis: axis,
      annotationdefaults: { arrowcolor: ink, arrowhead: 0, arrowwidth: 1 },
    },
    data: { heatmap: [{ colorbar: { outlinewidth: 0, ticks: "" } }] },
  };
}
