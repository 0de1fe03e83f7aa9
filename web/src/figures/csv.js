/** Numbers of a figure as CSV: a row for each point, or a matrix with its names. */

import { axisLabel, plain } from "./specification.js";

/**
 * CSV of a figure: `series`, the axes with their units, `low` and `high` of a band or interval, and
 * the name of each point; of a matrix its rows and columns.
 * @param {import("./specification.js").Specification} specification
 * @returns {string}
 */
export function csvOf(specification) {
  const matrix = specification.data.find((trace) => trace.type === "heatmap");
  return matrix ? ofMatrix(specification, matrix) : ofSeries(specification);
}

/**
 * @param {import("./specification.js").Specification} specification
 * @param {any} trace
 */
function ofMatrix(specification, trace) {
  const rows = Array.from(trace.z);
  const columns = Array.from({ length: rows.length ? /** @type {any} */ (rows[0]).length : 0 });
  const corner = `${axisLabel(specification, "y")} \\ ${axisLabel(specification, "x")}`;
  const head = [corner, ...columns.map((_, index) => plain(trace.x?.[index] ?? index))];
  const body = rows.map((row, index) => [
    plain(trace.y?.[index] ?? index),
    ...Array.from(/** @type {ArrayLike<number>} */ (row), number),
  ]);
  return text([head, ...body]);
}

/** @param {import("./specification.js").Specification} specification */
function ofSeries(specification) {
  const inSpace = specification.data.some((trace) => trace.z);
  const axes = /** @type {("x" | "y" | "z")[]} */ (inSpace ? ["x", "y", "z"] : ["x", "y"]);
  const head = ["series", ...axes.map((axis) => axisLabel(specification, axis) || axis)];
  const rows = [[...head, "low", "high", "name"]];
  specification.data.forEach((trace, index) => {
    if (trace.meta?.part === "band") return;
    const before = specification.data[index - 1];
    const hasBand = before?.meta?.part === "band" && before.legendgroup === trace.legendgroup;
    const band = hasBand ? endsOf(before) : new Map();
    const name = plain(trace.name ?? specification.layout.sliders?.[0]?.steps[index]?.label ?? "");
    for (let point = 0; point < trace.x.length; point += 1) {
      const ends = trace.error_x ? errors(trace, point) : (band.get(trace.x[point]) ?? ["", ""]);
      const at = axes.map((axis) => cell(trace[axis][point]));
      rows.push([name, ...at, ...ends, plain(trace.text?.[point] ?? "")]);
    }
  });
  return text(rows);
}

/**
 * @param {any} trace
 * @param {number} point
 */
function errors(trace, point) {
  const value = trace.x[point];
  const { array, arrayminus } = trace.error_x;
  return [number(value - arrayminus[point]), number(value + array[point])];
}

/**
 * Ends of a band by position. Each of its outlines goes along the upper end and back along the lower
 * one, and NaN stands between outlines.
 * @param {any} band
 * @returns {Map<number, string[]>}
 */
function endsOf(band) {
  /** @type {Map<number, string[]>} */
  const ends = new Map();
  let start = 0;
  for (let index = 0; index <= band.x.length; index += 1) {
    if (index < band.x.length && !Number.isNaN(band.x[index])) continue;
    const half = (index - start) / 2;
    for (let point = 0; point < half; point += 1) {
      const low = band.y[index - 1 - point];
      ends.set(band.x[start + point], [number(low), number(band.y[start + point])]);
    }
    start = index + 1;
  }
  return ends;
}

/** @param {unknown} value */
function cell(value) {
  return typeof value === "number" ? number(value) : plain(String(value));
}

/**
 * Digits of a float32; nothing where it is not defined.
 * @param {number} value
 * @returns {string}
 */
export function number(value) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(8))) : "";
}

/**
 * CSV of rows.
 * @param {string[][]} rows
 * @returns {string}
 */
export function text(rows) {
  return `${rows.map((row) => row.map(quoted).join(",")).join("\r\n")}\r\n`;
}

/** @param {string} value */
function quoted(value) {
  return /[",\r\n]/.test(value) ? `"${value.replace(/"/g, '""')}"` : value;
}
