/** Numbers of a plot as rows: the strokes that draw it, listed in place of drawn. */

import { number, text } from "../figures/csv.js";

/**
 * @typedef {import("./pen.js").Look} Look
 * @typedef {import("./pen.js").Path} Path
 * @typedef {import("./pen.js").Strokes} Strokes
 * @typedef {{sites: string[], site: number}} Depth names of the sites, and the selected one
 */

/** @implements {Strokes} */
export class Ledger {
  /** @param {Depth} depth */
  constructor(depth) {
    this._depth = depth;
    /** @type {Record<string, unknown>[]} */
    this.rows = [];
  }

  /** @param {Path[0]} xs @param {Path[1]} ys @param {Look} look */
  line(xs, ys, look) {
    this.lines([[xs, ys]], look);
  }

  /** @param {Path[]} paths @param {Look} look */
  lines(paths, { series }) {
    if (!series) return;
    paths.forEach(([xs, ys], line) => {
      for (let index = 0; index < ys.length; index += 1) {
        const at = { x: xs === null ? index : xs[index], y: ys[index] };
        this._add(series, series.texts?.[line], index, ys.length, at);
      }
    });
  }

  /**
   * @param {ArrayLike<number>} low
   * @param {ArrayLike<number>} high
   * @param {Look & import("./pen.js").Middle} look
   */
  band(low, high, { series, middle }) {
    if (!series) return;
    for (let index = 0; index < low.length; index += 1) {
      const at = { x: index, y: middle?.[index] ?? NaN, low: low[index], high: high[index] };
      this._add(series, undefined, index, low.length, at);
    }
  }

  /** @param {number} x @param {number} y @param {Look & {value: number, label: string}} look */
  cell(x, y, { series, value, label }) {
    if (!series) return;
    this._add(series, series.texts?.[0], x, this._depth.sites.length, { x, y, value, label });
  }

  // The points mark values of lines, and the rest marks the selection, which a column names.
  point() {}

  upright() {}

  column() {}

  word() {}

  /**
   * @param {import("./pen.js").Series} series
   * @param {string | undefined} label of the text
   * @param {number} index of the site, or of the first site of a step
   * @param {number} n
   * @param {Record<string, unknown>} at
   */
  _add({ name, from, unit }, label, index, n, at) {
    const isSelected = index === Math.min(this._depth.site, n - 1);
    this.rows.push({
      series: name,
      text: label,
      unit,
      site: this._depth.sites[index],
      selected: isSelected ? "yes" : "",
      from,
      ...at,
    });
  }
}

/**
 * CSV of a plot's numbers.
 * @param {Ledger} ledger
 * @param {import("./axes.js").Axes} axes
 */
export function tableOf({ rows }, { xLabel, yLabel, valueLabel = "value" }) {
  const unit = /\(([^()]*)\)$/.exec(yLabel)?.[0] ?? "";
  /** @type {[string, string][]} key and heading */
  const columns = [
    ["series", "series"],
    ["text", "text"],
    ["unit", "unit"],
    ["site", "site"],
    ["x", xLabel],
    ["y", yLabel],
    ["low", `low ${unit}`],
    ["high", `high ${unit}`],
    ["value", valueLabel],
    ["label", "token"],
    ["selected", "selected site"],
    ["from", "drawn from"],
  ];
  return csvOfRows(rows, columns);
}

/**
 * CSV of rows; a column that no row has is left out.
 * @param {Record<string, unknown>[]} rows
 * @param {[string, string][]} columns key and heading
 */
export function csvOfRows(rows, columns) {
  const held = columns.filter(([key]) => rows.some((row) => row[key] !== undefined));
  const body = rows.map((row) => held.map(([key]) => field(row[key])));
  return text([held.map(([, heading]) => heading), ...body]);
}

/** @param {unknown} value */
function field(value) {
  return typeof value === "number" ? number(value) : String(value ?? "");
}
