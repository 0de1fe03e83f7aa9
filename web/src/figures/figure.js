/** One figure: its specification is decoded, then drawn. */

import { unpack } from "../packing.js";
import { plotly } from "./library.js";

/**
 * Draw the figure of an element from its data island.
 * @param {HTMLElement} element
 * @param {import("../context.js").Context} context
 */
export async function drawFigure(element, context) {
  const specification = await readSpecification(context.readIsland(element.id));
  const library = await plotly();
  const config = { responsive: true, displaylogo: false };
  await library.newPlot(element, specification.data, specification.layout, config);
  element.dataset.drawn = "yes";
}

/**
 * @param {any} island
 * @returns {Promise<{data: any[], layout: any}>}
 */
export async function readSpecification(island) {
  const arrays = await Promise.all(island.arrays.map(unpack));
  const text = await unpack(island.specification);
  return JSON.parse(text, (_, value) =>
    value !== null && typeof value === "object" && "array" in value
      ? nested(arrays[value.array])
      : value,
  );
}

/**
 * Rows of a matrix, or the values of a vector.
 * @param {import("../packing.js").Numbers} numbers
 */
function nested({ values, shape }) {
  if (shape.length !== 2) return values;
  return Array.from({ length: shape[0] }, (_, row) =>
    values.subarray(row * shape[1], (row + 1) * shape[1]),
  );
}
