/** Files of a plot: its numbers, its picture as it is shown, and the Python that draws it again. */

import { pictureOf, serveSaving, tableFile } from "../figures/saving.js";
import { fitting } from "../figures/surface.js";
import { element } from "./elements.js";
import { Ledger, tableOf } from "./table.js";

/**
 * @typedef {import("./plot.js").Plot} Plot
 * @typedef {import("./plot.js").Entry} Entry
 * @typedef {import("./scene.js").Scene} Scene
 * @typedef {import("../figures/surface.js").Surface} Surface
 * @typedef {Record<string, string | number | string[] | number[]>} Arguments
 */

const [TITLE, SIZE] = [15, 12];
const [SIDE, LINE, MARK] = [12, 17, 26];

/**
 * Add the buttons under a plot.
 * @param {Plot} plot
 * @param {Scene} scene
 * @param {() => string | null} python lines that draw what is shown; null where nothing is
 */
export function offerFiles(plot, scene, python) {
  const csv = () => {
    const ledger = new Ledger({ sites: scene.data.about.sites, site: scene.selection.site });
    plot.list(ledger);
    return tableFile(plot.drawn ? tableOf(ledger, plot.drawn.axes) : "");
  };
  const picture = (/** @type {import("../figures/saving.js").Format} */ format) => {
    const { palette } = scene;
    const key = plot.isColored ? scene.colorKey : [];
    const legend = [...plot.entries, ...key.map(([color, words]) => /** @type {Entry} */ ([color, words, "dot"]))];
    const blocks = blocksOf(plot, legend, palette);
    const height = blocks.reduce((sum, block) => sum + block.height, SIDE);
    return pictureOf(format, { width: plot.width, height, background: palette.paper }, (surface) => {
      let down = 0;
      for (const block of blocks) {
        surface.moved(0, down, () => block.paint(surface));
        down += block.height;
      }
    });
  };
  const files = { csv, svg: () => picture("svg"), png: () => picture("png") };
  offerButtons(plot.figure, scene, { title: () => plot.heading.textContent ?? "", files }, python);
}

/**
 * Add buttons that save, and the lines of Python with a button that copies them.
 * @param {HTMLElement} figure
 * @param {Scene} scene
 * @param {import("../figures/saving.js").Source} source
 * @param {() => string | null} python
 */
export function offerButtons(figure, scene, source, python) {
  const id = `code-explore-${figure.dataset.plot}`;
  const buttons = Object.keys(source.files).map((format) =>
    element("button", { type: "button", "data-save": format, text: format.toUpperCase() }),
  );
  const code = element("pre", { id });
  const copy = element("button", { type: "button", "data-copy": id, text: "Copy" });
  const summary = element("summary", { text: "Python" });
  const lines = element("details", { class: "python" }, [summary, code, copy]);
  const tools = element("div", { class: "figure-tools", role: "group" }, [...buttons, lines]);
  figure.append(tools);
  serveSaving(tools, source);
  const refresh = () => {
    const title = source.title();
    const text = python();
    tools.hidden = text === null;
    tools.setAttribute("aria-label", `Files of the figure “${title}”`);
    for (const each of [...buttons, copy, summary]) {
      const label = each.dataset.label ?? each.textContent;
      each.setAttribute("aria-label", `${label}: ${title}`);
    }
    if (text !== null && lines.open) code.textContent = text;
  };
  lines.addEventListener("toggle", refresh);
  scene.afterDrawing.push(refresh);
}

/**
 * Lines of Python that draw a figure of the view again, in the folder of the run.
 * @param {string} name
 * @param {Arguments} given
 * @param {string} [end] what is done with the figure
 */
export function pythonOf(name, given, end = ".plot()") {
  const words = Object.entries(given).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return (
    "from transformer_dynamics.report.explorer import Exploration  # in the folder of the run\n" +
    `Exploration(".").${name}(${words.join(", ")})${end}`
  );
}

/**
 * The null models that are drawn, for Python; nothing where all of them are.
 * @param {Scene} scene
 * @returns {Arguments}
 */
export function nullArguments({ data, nulls }) {
  return nulls.length === data.nulls.length ? {} : { nulls: nulls.map(({ key }) => key) };
}

/** @typedef {{height: number, paint: (surface: Surface) => void}} Block */

/**
 * Parts of a picture from top to bottom: title, legend, plot, and the words below it.
 * @param {Plot} plot
 * @param {Entry[]} legend
 * @param {import("./colors.js").Palette} palette
 * @returns {Block[]}
 */
function blocksOf(plot, legend, palette) {
  const width = plot.width - 2 * SIDE;
  const words = (/** @type {string} */ text, /** @type {number} */ size, /** @type {string} */ color) =>
    textBlock(fitting(text, size, width), size, color, SIDE);
  const plotted = { height: plot.height + 8, paint: (/** @type {Surface} */ surface) => plot.drawOn(surface) };
  return [
    { height: 6, paint: () => {} },
    words(plot.heading.textContent ?? "", TITLE, palette.ink),
    ...legend.map(([color, text, mark = "line"]) => {
      const block = textBlock(fitting(text, SIZE, width - MARK), SIZE, palette.soft, SIDE + MARK);
      const paint = (/** @type {Surface} */ surface) => {
        drawMark(surface, color, mark);
        block.paint(surface);
      };
      return { ...block, paint };
    }),
    ...(plot.stage.hidden ? [] : [plotted]),
    words(plot.readout.textContent ?? "", SIZE, palette.ink),
  ];
}

/**
 * @param {string[]} rows
 * @param {number} size
 * @param {string} color
 * @param {number} left
 * @returns {Block}
 */
function textBlock(rows, size, color, left) {
  const line = size + LINE - SIZE;
  return {
    height: rows.length * line,
    paint: (surface) =>
      rows.forEach((row, index) => surface.word(row, left, index * line + size, { color, size })),
  };
}

/**
 * @param {Surface} surface
 * @param {string} color
 * @param {"line" | "dash" | "band" | "dot"} mark
 */
function drawMark(surface, color, mark) {
  const middle = SIZE - 4;
  if (mark === "band") {
    surface.box(SIDE, middle - 5, 18, 10, { color });
  } else {
    surface.begin();
    if (mark === "dot") {
      surface.circle(SIDE + 9, middle, 4.5);
      surface.fill({ color });
    } else {
      surface.move(SIDE, middle);
      surface.draw(SIDE + 18, middle);
      surface.stroke({ color, width: mark === "dash" ? 2 : 3, dash: mark === "dash" ? [5, 3] : [] });
    }
  }
}
