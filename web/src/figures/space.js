/** Figures in space: paths of a specification as lines, points and words of a plane. */

import { FIRST_VIEW, project, roundNumbers, scaled, spanOf } from "./projection.js";
import { axisLabel } from "./specification.js";
import { linesOf } from "./surface.js";
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
  const scale = Math.min(width * 0.8, height * 0.86) / (2 * Math.SQRT2 * 1.12);
  return (point) => {
    const { x, y } = project(point, view);
    return [width / 2 + x * scale, height / 2 - y * scale];
  };
}

/**
 * Edges of the cube; each axis has its numbers and its label at an edge of the outline.
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
    const edges = edgesAlong(index);
    const outer = outermost(edges, place, axis === "z");
    for (const edge of edges) {
      const ends = [-1, 1].map((end) => place(edge(end)));
      shapes.push(line(ends, edge === outer ? soft : grid, 1));
    }
    const [right, down] = outwards(outer, place, look);
    for (const number of roundNumbers(spans[index])) {
      const [x, y] = place(outer(scaled(number, spans[index])));
      const at = [x + right * 16, y + down * 16 + 4];
      shapes.push(word(at[0], at[1], String(number), soft, size - 1, "middle"));
    }
    // A label takes about a third of the width.
    const rows = linesOf(axisLabel(specification, axis), Math.max(16, look.width / 20));
    const [x, y] = axis === "z" ? place(outer(1.12)) : place(outer(0));
    const half = (Math.max(...rows.map((row) => row.length)) * size * 0.55) / 2 + 4;
    const [left, top] = axis === "z" ? [x, y - 8 - (size + 1) * (rows.length - 1)] :
      [x + right * (34 + half), y + down * 46];
    const middle = Math.max(half, Math.min(look.width - half, left));
    const first = Math.max(size, Math.min(look.height - 6 - (size + 1) * (rows.length - 1), top));
    rows.forEach((text, row) => {
      shapes.push(word(middle, first + row * (size + 1), text, ink, size, "middle"));
    });
  });
  return shapes;
}

/**
 * The four edges of the cube along an axis, each as a function of the position from -1 to 1.
 * @param {number} axis
 * @returns {((along: number) => number[])[]}
 */
function edgesAlong(axis) {
  const others = [0, 1, 2].filter((other) => other !== axis);
  return [-1, 1].flatMap((first) =>
    [-1, 1].map((second) => (/** @type {number} */ along) => {
      const point = [0, 0, 0];
      point[axis] = along;
      point[others[0]] = first;
      point[others[1]] = second;
      return point;
    }),
  );
}

/**
 * The edge that lies lowest on the screen, or farthest to the left.
 * @param {((along: number) => number[])[]} edges
 * @param {(point: number[]) => number[]} place
 * @param {boolean} isLeft
 */
function outermost(edges, place, isLeft) {
  const score = (/** @type {(along: number) => number[]} */ edge) => {
    const [x, y] = place(edge(0));
    return isLeft ? -x : y;
  };
  return edges.reduce((best, edge) => (score(edge) > score(best) ? edge : best));
}

/**
 * Direction on the screen from the middle of the cube to the middle of an edge, of length 1.
 * @param {(along: number) => number[]} edge
 * @param {(point: number[]) => number[]} place
 * @param {Look} look
 */
function outwards(edge, place, { width, height }) {
  const [x, y] = place(edge(0));
  const [right, down] = [x - width / 2, y - height / 2];
  const length = Math.hypot(right, down) || 1;
  return [right / length, down / length];
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
