import assert from "node:assert/strict";
import { test } from "node:test";

import { Pen } from "../src/explore/pen.js";
import { pythonOf, nullArguments } from "../src/explore/files.js";
import { Ledger, csvOfRows, tableOf } from "../src/explore/table.js";
import { svgOf } from "../src/figures/saving.js";
import { CanvasSurface, SvgSurface, fitting, linesOf } from "../src/figures/surface.js";

const PLOT = { x: (value) => 10 * value, y: (value) => 100 - value, width: 400, height: 120 };
const AXES = { xLabel: "site (index)", yLabel: "activation (stream units)" };

/** What a pen draws, as SVG. */
function drawn(paint) {
  return svgOf({ width: 400, height: 120, background: "#fff" }, (surface) => paint(new Pen(surface, PLOT)));
}

test("a line has a gap where it is undefined", () => {
  const svg = drawn((pen) => pen.line(null, [1, 2, NaN, 4, 5], { color: "#123456", width: 2, dash: [5, 3] }));
  assert.ok(svg.includes('<path d="M0 99L10 98M30 96L40 95" fill="none" stroke="#123456" stroke-width="2"'));
  assert.ok(svg.includes('stroke-dasharray="5 3"'));
});

test("a band has an outline for each run of defined points", () => {
  const svg = drawn((pen) => pen.band([0, 1, NaN, 3], [2, 3, 9, 5], { color: "red", alpha: 0.25 }));
  assert.ok(svg.includes('d="M0 100L10 99L10 97L0 98ZM30 97L30 95Z" fill="red" fill-opacity="0.25"'));
});

test("points, squares and words are vectors, and words are escaped", () => {
  const svg = drawn((pen) => {
    pen.point(1, 50, { color: "blue", size: 4, ring: "white" });
    pen.point(NaN, 50, { color: "green" });
    pen.cell(2, 20, { color: "gold", value: 1, label: "a" });
    pen.word("<b>&", 1, 1, "black");
  });
  assert.equal(svg.match(/<path/g).length, 2);
  assert.ok(svg.includes("M6 50a4 4 0 1 0 8 0a4 4 0 1 0 -8 0"));
  assert.ok(svg.includes('fill="gold"') && !svg.includes("green"));
  assert.ok(svg.includes("&lt;b&gt;&amp;") && !svg.includes("<b>"));
});

test("both surfaces take the same calls", () => {
  const methods = (type) => Object.getOwnPropertyNames(type.prototype).filter((name) => name !== "text");
  assert.deepEqual(methods(SvgSurface), methods(CanvasSurface));
  const strokes = (type) => Object.getOwnPropertyNames(type.prototype).filter((name) => !name.startsWith("_"));
  assert.deepEqual(strokes(Ledger).sort(), strokes(Pen).sort());
});

test("a table lists the named strokes with their texts, sites and sampling", () => {
  const ledger = new Ledger({ sites: ["a", "b", "c"], site: 2 });
  const series = { name: "texts", from: "2 of 9 texts, seed 0", unit: 5, texts: ["4", "7"] };
  ledger.lines([[null, [1, NaN]], [[8, 9], [3, 4]]], { color: "red", series });
  ledger.band([0], [2], { color: "red", middle: [1], series: { name: "null", from: "9 texts" } });
  ledger.line(null, [1, 2], { color: "red" });
  ledger.upright();
  assert.deepEqual(tableOf(ledger, AXES).trimEnd().split("\r\n"), [
    "series,text,unit,site,site (index),activation (stream units),low (stream units),high (stream units),selected site,drawn from",
    'texts,4,5,a,0,1,,,,"2 of 9 texts, seed 0"',
    'texts,4,5,b,1,,,,yes,"2 of 9 texts, seed 0"',
    'texts,7,5,a,8,3,,,,"2 of 9 texts, seed 0"',
    'texts,7,5,b,9,4,,,yes,"2 of 9 texts, seed 0"',
    "null,,,a,0,1,0,2,yes,9 texts",
  ]);
});

test("a table of squares has their values and tokens", () => {
  const ledger = new Ledger({ sites: ["a", "b"], site: 0 });
  const series = { name: "decoded tokens", from: "1 of 2 texts", texts: ["1"] };
  ledger.cell(1, 3, { color: "red", series, value: 0.5, label: '&lt; "x", ' });
  const [head, row] = tableOf(ledger, { ...AXES, valueLabel: "probability (1)" }).split("\r\n");
  assert.equal(head, "series,text,site,site (index),activation (stream units),probability (1),token,selected site,drawn from");
  assert.equal(row, 'decoded tokens,1,b,1,3,0.5,"&lt; ""x"", ",,1 of 2 texts');
  assert.equal(csvOfRows([], [["a", "A"]]), "\r\n");
});

test("lines of Python name the selection, and the null models where some are hidden", () => {
  const nulls = [{ key: "walk" }, { key: "twin" }];
  assert.deepEqual(nullArguments({ data: { nulls }, nulls }), {});
  const given = { unit: 3, site: "7.pre_attn", ...nullArguments({ data: { nulls }, nulls: nulls.slice(1) }) };
  const [, line] = pythonOf("trace", given).split("\n");
  assert.equal(line, 'Exploration(".").trace(unit=3, site="7.pre_attn", nulls=["twin"]).plot()');
});

test("words are broken between words", () => {
  assert.deepEqual(linesOf("one two three", 7), ["one two", "three"]);
  assert.deepEqual(fitting("a", 12, 0), ["a"]);
});
