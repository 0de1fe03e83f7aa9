/**
 * Specifications of figures, as `report/figures.py` packs them.
 *
 * @typedef {{data: any[], layout: any}} Specification plotly's data and layout
 */

import { unpack } from "../packing.js";

/**
 * Read the specification in a data island.
 * @param {any} island
 * @returns {Promise<Specification>}
 */
export async function readSpecification(island) {
  const arrays = await Promise.all(island.arrays.map(unpack));
  const text = await unpack(island.specification);
  return JSON.parse(text, (_, value) =>
    value !== null && typeof value === "object" && "packed" in value
      ? nested(arrays[value.packed])
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

/**
 * Role of a trace: `model`, `detail`, `null` or `reference`.
 * @param {any} trace
 * @returns {string}
 */
export function roleOf(trace) {
  return trace.meta?.role ?? "model";
}

/**
 * Label of an axis, with its unit.
 * @param {Specification} specification
 * @param {"x" | "y" | "z"} axis
 * @returns {string}
 */
export function axisLabel({ layout }, axis) {
  const scene = layout.scene?.[`${axis}axis`]?.title?.text;
  return plain(scene ?? layout[`${axis}axis`]?.title?.text ?? "");
}

/**
 * Text without the escapes that plotly's labels need.
 * @param {string} text
 * @returns {string}
 */
export function plain(text) {
  return String(text).replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
}

/**
 * Whether a figure is drawn in space.
 * @param {Specification} specification
 */
export function isInSpace({ data }) {
  return data.some((trace) => trace.type === "scatter3d");
}
