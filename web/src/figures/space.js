/** Figures in space: paths of a specification as lines, points and words of a plane. */

import { FIRST_VIEW, project, roundNumbers, scaled, spanOf } from "./projection.js";
import { axisLabel } from "./specification.js";
import { colorsOf, seriesColor } from "./theme.js";

/**
 * @typedef {{kind: "line", points: number[][], color: string, width: number, dash: number[]}} Line
 * @typedef {{kind: "point", x: number, y: number, radius: number, color: string}} Point
 * @typedef {{kind: "word", x: number, y: number, text: string, color: string, size: number,
 *   anchor: "start" | "middle" | "end"}} Word
 * @typedef {Line | Point | Word} Shape
 * @typedef {{width: number, height: number, theme: import("./theme.js").Theme, visible: boolean[],
 *   view: import("./projection.js").View}} Look
 */

/** @type {Record<string, number[]>} */
const DASHES = {
  solid: [],
  dash: [8, 5],
  dot: [2, 4],
  dashdot: [8, 4, 2, 4],
  longdash: [14, 6],
};
const AXES = /** @type {("x" | "y" | "z")[]} */ (["x", "y", "z"]);

/**
 * Shapes of a figure in space, in the order in which they are painted.
 * @param {import("./specification.js").Specification} specification
 * @param {Look} look
 * @returns {Shape[]}
 */
export function shapesOf(specification, look) {
  const shown = specification.data.filter((_, index) => look.visible[index]);
  const spans = AXES.map((axis) => spanOf(specification.data.map((trace) => trace[axis] ?? [])));
  const place = placer(look);
  return [
    ...frame(specification, spans, place, look),
    ...shown.flatMap((trace) => path(trace, spans, place, look.theme)),
  ];
}

/**
 * Function from a point of the unit cube to pixels.
 * @param {Look} look
 * @returns {(point: number[]) => number[]}
 */
export function placer({ width, height, view = FIRST_VIEW }) {
  const scale = Math.min(width * 0.82, height * 0.86) / (2 * Math.sqrt(3));
  return (point) => {
    const { x, y } = project(point, view);
    return [width / 2 + x * scale * 1.25, height / 2 - y * scale * 1.15];
  };
}

/**
 * Edges of the cube at its back, round numbers and labels of the axes.
 * @param {import("./specification.js").Specification} specification
 * @param {import("./projection.js").Span[]} spans
 * @param {(point: number[]) => number[]} place
 * @param {Look} look
 * @returns {Shape[]}
 */
function frame(specification, spans, place, look) {
  const { ink, soft, grid } = colorsOf(look.theme);
  const size = look.width < 560 ? 10 : 11.5;
  /** @type {Shape[]} */
  const shapes = [];
  AXES.forEach((axis, index) => {
    const others = [0, 1, 2].filter((other) => other !== index);
    for (const first of [-1, 1]) {
      for (const second of [-1, 1]) {
        const ends = [-1, 1].map((end) => corner(index, end, others, first, second));
        shapes.push(line(ends.map(place), first + second === -2 ? soft : grid, 1));
      }
    }
    // Each axis is labeled on the edge from the corner where all are lowest.
    for (const number of roundNumbers(spans[index])) {
      const at = scaled(number, spans[index]);
      const [x, y] = place(corner(index, at, others, -1.08, -1.08));
      shapes.push(word(x, y + 4, String(number), soft, size - 1, "middle"));
    }
    const [x, y] = place(corner(index, axis === "z" ? 1.12 : 0, others, -1.3, -1.3));
    const [left, right] = [x < look.width * 0.33, x > look.width * 0.67];
    const anchor = left ? "start" : right ? "end" : "middle";
    const edge = left ? 4 : right ? look.width - 4 : x;
    const below = Math.max(12, Math.min(look.height - 4, y));
    for (const [row, text] of lines(axisLabel(specification, axis), look.width).entries()) {
      shapes.push(word(edge, below + row * (size + 1), text, ink, size, anchor));
    }
  });
  return shapes;
}

/**
 * @param {any} trace
 * @param {import("./projection.js").Span[]} spans
 * @param {(point: number[]) => number[]} place
 * @param {import("./theme.js").Theme} theme
 * @returns {Shape[]}
 */
function path(trace, spans, place, theme) {
  const points = Array.from({ length: trace.x.length }, (_, index) =>
    place(AXES.map((axis, number) => scaled(trace[axis][index], spans[number]))),
  );
  const color = seriesColor(trace.line?.color ?? "#0072B2", theme);
  /** @type {Shape[]} */
  const shapes = [];
  if (trace.mode.includes("lines")) {
    shapes.push(line(points, color, 2, DASHES[trace.line?.dash ?? "solid"] ?? []));
  }
  points.forEach(([x, y], index) => {
    if (!Number.isFinite(x + y)) return;
    const size = Array.isArray(trace.marker?.size) ? trace.marker.size[index] : 5;
    const own = trace.marker?.color;
    const fill = Array.isArray(own) ? own[index] : own;
    const tint = seriesColor(fill ?? color, theme);
    shapes.push({ kind: "point", x, y, radius: size / 2 + 0.5, color: tint });
  });
  return shapes;
}

/**
 * Point of the cube with one coordinate along an axis, and two at its sides.
 * @param {number} axis
 * @param {number} along
 * @param {number[]} others
 * @param {number} first
 * @param {number} second
 */
function corner(axis, along, others, first, second) {
  const point = [0, 0, 0];
  point[axis] = along;
  point[others[0]] = first;
  point[others[1]] = second;
  return point;
}

/**
 * @param {number[][]} points
 * @param {string} color
 * @param {number} width
 * @param {number[]} [dash]
 * @returns {Line}
 */
function line(points, color, width, dash = []) {
  return { kind: "line", points, color, width, dash };
}

/**
 * @param {number} x
 * @param {number} y
 * @param {string} text
 * @param {string} color
 * @param {number} size
 * @param {Word["anchor"]} anchor
 * @returns {Word}
 */
function word(x, y, text, color, size, anchor) {
  return { kind: "word", x, y, text, color, size, anchor };
}

/**
 * Label in lines of about a third of the width.
 * @param {string} text
 * @param {number} width
 */
function lines(text, width) {
  const most = Math.max(16, Math.floor(width / 20));
  const rows = [""];
  for (const part of text.split(" ")) {
    const last = rows[rows.length - 1];
    if (last && last.length + part.length >= most) rows.push(part);
    else rows[rows.length - 1] = last ? `${last} ${part}` : part;
  }
  return rows;
}
