/** Files of a figure: CSV, SVG, PNG. */

import { csvOf } from "./csv.js";
import { inFile } from "./flat.js";
import { plotly } from "./library.js";
import { paint, svgOf } from "./painting.js";
import { shapesOf } from "./space.js";
import { isInSpace } from "./specification.js";

const WIDTH = 900;
const SCALE = 2;
const TITLE_HEIGHT = 36;

/**
 * Serve the buttons under a figure.
 * @param {import("./figure.js").Figure} figure
 */
export function serveSaving(figure) {
  for (const button of figure.box.querySelectorAll("button[data-save]")) {
    button.addEventListener("click", () => {
      void save(figure, /** @type {HTMLElement} */ (button).dataset.save ?? "");
    });
  }
}

/**
 * @param {import("./figure.js").Figure} figure
 * @param {string} format
 */
async function save(figure, format) {
  await figure.draw();
  const name = `${slug(figure.title)}.${format}`;
  if (format === "csv") {
    download(new Blob([csvOf(figure.specification)], { type: "text/csv;charset=utf-8" }), name);
  } else if (isInSpace(figure.specification)) {
    download(await spaceFile(figure, format), name);
  } else {
    const library = await plotly();
    const { data, layout } = inFile(figure.specification, figure.visible);
    const options = { format, width: layout.width, height: layout.height };
    const url = await library.toImage(/** @type {any} */ ({ data, layout }), {
      ...options,
      ...(format === "png" ? { scale: SCALE } : {}),
    });
    link(url, name);
  }
}

/**
 * @param {import("./figure.js").Figure} figure
 * @param {string} format
 * @returns {Promise<Blob>}
 */
async function spaceFile(figure, format) {
  const height = figure.specification.layout.height;
  const look = { width: WIDTH, height, theme: /** @type {"light"} */ ("light") };
  const drawn = { ...look, visible: figure.visible, view: figure.view };
  const shapes = shapesOf(figure.specification, drawn);
  const shown = figure.specification.data.filter((_, index) => figure.visible[index]);
  shapes.push(heading(figure.title));
  shown.forEach((trace, index) => {
    const y = TITLE_HEIGHT + 18 * (index + 1);
    const color = trace.line?.color ?? "#0072B2";
    shapes.push({ kind: "point", x: 14, y: y - 4, radius: 4, color });
    shapes.push({ ...heading(String(trace.name ?? "")), x: 26, y, size: 12 });
  });
  if (format === "svg") {
    return new Blob([svgOf(shapes, WIDTH, height, "#ffffff")], { type: "image/svg+xml" });
  }
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH * SCALE;
  canvas.height = height * SCALE;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.scale(SCALE, SCALE);
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, WIDTH, height);
  paint(context, shapes);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no PNG was made"))));
  });
}

/**
 * @param {string} text
 * @returns {import("./space.js").Word}
 */
function heading(text) {
  return { kind: "word", x: 10, y: 22, text, color: "#2a3f5f", size: 15, anchor: "start" };
}

/**
 * @param {Blob} blob
 * @param {string} name
 */
function download(blob, name) {
  const url = URL.createObjectURL(blob);
  link(url, name);
  window.setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/**
 * @param {string} url
 * @param {string} name
 */
function link(url, name) {
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.download = name;
  anchor.click();
}

/**
 * Title as the name of a file.
 * @param {string} title
 * @returns {string}
 */
export function slug(title) {
  const words = title.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  return words.join("-").slice(0, 80) || "figure";
}

