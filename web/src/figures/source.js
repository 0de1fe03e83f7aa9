/** What a figure of a result gives to its files: its numbers, and its picture on white. */

import { csvOf } from "./csv.js";
import { inFile } from "./flat.js";
import { plotly } from "./library.js";
import { paint } from "./painting.js";
import { pictureOf, tableFile } from "./saving.js";
import { shapesOf } from "./space.js";
import { isInSpace } from "./specification.js";

const WIDTH = 900;
const SCALE = 2;
const TITLE_HEIGHT = 36;

/**
 * @param {import("./figure.js").Figure} figure
 * @returns {import("./saving.js").Source}
 */
export function sourceOf(figure) {
  const picture = async (/** @type {import("./saving.js").Format} */ format) => {
    await figure.draw();
    return isInSpace(figure.specification) ? inSpace(figure, format) : inPlane(figure, format);
  };
  const csv = async () => {
    await figure.draw();
    return tableFile(csvOf(figure.specification));
  };
  return { title: () => figure.title, files: { csv, svg: () => picture("svg"), png: () => picture("png") } };
}

/**
 * @param {import("./figure.js").Figure} figure
 * @param {import("./saving.js").Format} format
 * @returns {Promise<string>} address of the picture
 */
async function inPlane(figure, format) {
  const library = await plotly();
  const { data, layout } = inFile(figure.specification, figure);
  const options = { format, width: layout.width, height: layout.height };
  return library.toImage(/** @type {any} */ ({ data, layout }), {
    ...options,
    ...(format === "png" ? { scale: SCALE } : {}),
  });
}

/**
 * @param {import("./figure.js").Figure} figure
 * @param {import("./saving.js").Format} format
 * @returns {Promise<Blob>}
 */
function inSpace(figure, format) {
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
  const page = { width: WIDTH, height, background: "#ffffff" };
  return pictureOf(format, page, (surface) => paint(surface, shapes));
}

/**
 * @param {string} text
 * @returns {import("./space.js").Word}
 */
function heading(text) {
  return { kind: "word", x: 10, y: 22, text, color: "#2a3f5f", size: 15, anchor: "start" };
}
