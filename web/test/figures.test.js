import assert from "node:assert/strict";
import { test } from "node:test";

import { csvOf } from "../src/figures/csv.js";
import { hasNumber, inFile, onScreen, wrap } from "../src/figures/flat.js";
import { paint } from "../src/figures/painting.js";
import { project, roundNumbers, scaled, spanOf, turned } from "../src/figures/projection.js";
import { slug, svgOf } from "../src/figures/saving.js";
import { placer, shapesOf } from "../src/figures/space.js";
import { axisLabel, plain } from "../src/figures/specification.js";
import { seriesColor } from "../src/figures/theme.js";

const BAND = {
  type: "scatter",
  legendgroup: "speed",
  x: [0, 1, 1, 0, NaN, 3, 3],
  y: [2, 3, 1, 0, NaN, 9, 7],
  meta: { role: "model", part: "band" },
};
const LINE = {
  type: "scatter",
  legendgroup: "speed",
  name: "speed, &lt;model&gt;",
  mode: "lines",
  line: { color: "#0072B2" },
  x: [0, 1, 2, 3],
  y: [1, 2.5, NaN, 8],
  text: ["a", 'b "quoted", too', "c", "d"],
  meta: { role: "model", part: "line" },
};
const NULL_LINE = { ...LINE, legendgroup: "null", name: "null", meta: { role: "null", part: "line" } };
const LAYOUT = {
  title: { text: "Speed" },
  height: 480,
  xaxis: { title: { text: "step (index)" } },
  yaxis: { title: { text: "speed (stream units per step)" } },
};

test("CSV of lines: ends of bands, names of points, nothing where undefined", () => {
  const rows = csvOf({ data: [BAND, LINE], layout: LAYOUT }).trimEnd().split("\r\n");
  assert.deepEqual(rows, [
    "series,step (index),speed (stream units per step),low,high,name",
    '"speed, <model>",0,1,0,2,a',
    '"speed, <model>",1,2.5,1,3,"b ""quoted"", too"',
    '"speed, <model>",2,,,,c',
    '"speed, <model>",3,8,7,9,d',
  ]);
});

test("CSV of a matrix: names of its rows and columns", () => {
  const z = [new Float32Array([1, 0.1]), new Float32Array([NaN, -2])];
  const data = [{ type: "heatmap", z, x: ["a", "b"] }];
  const rows = csvOf({ data, layout: LAYOUT }).trimEnd().split("\r\n");
  assert.deepEqual(rows[0].split(","), ["speed (stream units per step) \\ step (index)", "a", "b"]);
  assert.deepEqual(rows.slice(1), ["0,1,0.1", "1,,-2"]);
});

test("CSV of intervals: their ends", () => {
  const error_x = { array: [0.5], arrayminus: [0.25] };
  const data = [{ type: "scatter", name: "C1", x: [1], y: ["C1"], error_x }];
  const row = csvOf({ data, layout: LAYOUT }).trimEnd().split("\r\n")[1];
  assert.equal(row, "C1,1,C1,0.75,1.5,");
});

test("a figure on the screen hides what is hidden and has no title of its own", () => {
  const specification = { data: [BAND, LINE, NULL_LINE], layout: LAYOUT };
  const look = { width: 800, theme: "dark", visible: [true, true, false], areNullsShown: true };
  const { data, layout } = onScreen(specification, 440, look);
  assert.deepEqual(data.map((trace) => trace.visible), [true, true, false]);
  assert.equal(data[1].line.color, "#3b9ae1");
  assert.equal(layout.title, undefined);
  assert.equal(layout.showlegend, false);
  assert.equal(LINE.line.color, "#0072B2");
  const file = inFile(specification, look);
  assert.equal(file.data.length, 2);
  assert.equal(file.layout.title.text, "Speed");
  assert.equal(file.data[1].line.color, "#0072B2");
});

test("a figure without a defined value says so", () => {
  const undefinedLine = { ...LINE, y: [NaN, NaN, NaN, NaN] };
  const specification = { data: [BAND, undefinedLine], layout: LAYOUT };
  assert.equal(hasNumber(specification), false);
  assert.equal(hasNumber({ data: [LINE], layout: LAYOUT }), true);
  const look = { width: 800, theme: "light", visible: [true, true], areNullsShown: true };
  const { annotations } = onScreen(specification, 440, look).layout;
  assert.equal(annotations[0].text, "No value is defined here.");
});

test("a map of the model and its null models is cut to the model while these are hidden", () => {
  const z = [new Float32Array(9), new Float32Array(9), new Float32Array(9)];
  const map = { type: "heatmap", z, meta: { role: "model", part: "map", own: { x: 4 } } };
  const specification = { data: [map], layout: LAYOUT };
  const look = { width: 800, theme: "light", visible: [true], areNullsShown: false };
  for (const { layout } of [onScreen(specification, 440, look), inFile(specification, look)]) {
    assert.deepEqual(layout.xaxis.range, [-0.5, 3.5]);
    assert.equal(layout.yaxis.range, undefined);
  }
  const shown = onScreen(specification, 440, { ...look, areNullsShown: true }).layout;
  assert.equal(shown.xaxis.range, undefined);
});

test("labels are broken between words", () => {
  assert.equal(wrap("one two three", 1000), "one two three");
  assert.equal(wrap("speed of the stream (units)", 100), "speed of the<br>stream<br>(units)");
  assert.equal(plain("a &lt;b&gt; &amp;lt;"), "a <b> &lt;");
});

test("colors of bands follow those of their lines into the dark theme", () => {
  assert.equal(seriesColor("#0072B2", "light"), "#0072B2");
  assert.equal(seriesColor("rgba(0,114,178,0.18)", "dark"), "rgba(59,154,225,0.18)");
  assert.equal(seriesColor("#E69F00", "dark"), "#E69F00");
});

test("the projection keeps lengths, and turning comes back", () => {
  for (const view of [{ azimuth: 0.3, elevation: 0.5 }, { azimuth: -2, elevation: 1 }]) {
    const { x, y, depth } = project([0.2, -0.5, 0.9], view);
    assert.ok(Math.abs(Math.hypot(x, y, depth) - Math.hypot(0.2, 0.5, 0.9)) < 1e-12);
  }
  const view = { azimuth: 0.1, elevation: 0.2 };
  const back = turned(turned(view, 40, 10), -40, -10);
  assert.ok(Math.abs(back.azimuth - 0.1) + Math.abs(back.elevation - 0.2) < 1e-12);
  assert.ok(turned(view, 0, 1e6).elevation < Math.PI / 2);
});

test("spans ignore what is undefined, and numbers of an axis are round", () => {
  assert.deepEqual(spanOf([[NaN, 3], new Float32Array([-1])]), { low: -1, high: 3 });
  assert.deepEqual(spanOf([[2]]), { low: 1, high: 3 });
  assert.equal(scaled(3, { low: -1, high: 3 }), 1);
  assert.deepEqual(roundNumbers({ low: -0.3, high: 1 }), [0, 0.5, 1]);
});

test("a figure in space has its three labels, and a hidden path is not painted", () => {
  const path = { type: "scatter3d", x: [0, 1], y: [0, 1], z: [0, 2], mode: "lines+markers" };
  const axis = (text) => ({ title: { text } });
  const scene = { xaxis: axis("PC1 (u)"), yaxis: axis("PC2 (u)"), zaxis: axis("PC3 &lt;u&gt;") };
  const specification = { data: [path], layout: { scene } };
  assert.equal(axisLabel(specification, "z"), "PC3 <u>");
  const view = { azimuth: 0.7, elevation: 0.45 };
  const look = { width: 800, height: 440, theme: "light", visible: [true], view };
  const shapes = shapesOf(specification, look);
  const words = shapes.filter(({ kind }) => kind === "word").map(({ text }) => text);
  for (const label of ["PC1 (u)", "PC2 (u)", "PC3 <u>"]) assert.ok(words.includes(label));
  const hidden = shapesOf(specification, { ...look, visible: [false] });
  assert.equal(shapes.length - hidden.length, 3);
  const place = placer(look);
  assert.deepEqual(place([0, 0, 0]), [400, 220]);
  for (const shape of shapes) {
    if (shape.kind !== "word") continue;
    assert.ok(shape.x > 0 && shape.x < 800 && shape.y > 0 && shape.y < 440);
  }
  const page = { width: 800, height: 440, background: "#ffffff" };
  const svg = svgOf(page, (surface) => paint(surface, shapes));
  assert.ok(svg.includes("PC3 &lt;u&gt;"));
});

test("a title becomes the name of a file", () => {
  assert.equal(slug("1E. Cosine of states, 95 % (N = 64)"), "1e-cosine-of-states-95-n-64");
  assert.equal(slug("///"), "figure");
});
