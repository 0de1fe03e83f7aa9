import assert from "node:assert/strict";
import { test } from "node:test";

import { colorsOf, ramp } from "../src/explore/colors.js";
import { part } from "../src/explore/data.js";
import { nearest } from "../src/explore/extremes.js";
import { bandOf } from "../src/explore/movement.js";
import { orbit } from "../src/explore/portrait.js";
import { extent, linear, numeral, padded, quantiles, ticks } from "../src/explore/scales.js";
import { rowName, rowWords, shownWords } from "../src/explore/scene.js";
import { changesOfKey, found, labelValues, neighbor, ordered, selectionOf } from "../src/explore/selection.js";
import { visible } from "../src/explore/tokens.js";
import { projected } from "../src/explore/trajectory.js";

const ABOUT = {
  sites: ["0.pre_attn", "0.pre_mlp", "final"],
  n_samples: 9,
  seed: 0,
  n_units: 8,
  massive: [5],
  traced: [1, 5],
  samples: { sample: [2, 4, 7], text: [2, 4, 7], token: [" b", " a", " b"], length: [9, 30, 9], group: ["x", "", "y"] },
  texts: { string: ["An apple <b>", "Pears", "אבג apple"], left_out: [0, 0, 0] },
};
const NORM = { values: Float32Array.from([1, 2, 30, 1, 2, 10, 1, 2, 20]), shape: [3, 3], error: 0 };
const DATA = { about: ABOUT, model: { norm: NORM } };

test("scales, ranges and ticks", () => {
  assert.equal(linear([0, 10], [100, 200])(5), 150);
  assert.equal(linear([3, 3], [0, 10])(3), 0);
  assert.deepEqual(extent([1, NaN, Infinity], [-2, 5]), [-2, 5]);
  assert.equal(extent([NaN]), null);
  assert.deepEqual(padded([0, 10], 0.1), [-1, 11]);
  assert.deepEqual(padded(null), [0, 1]);
  const [low, high] = padded([4, 4]);
  assert.ok(low < 4 && high > 4);
  assert.deepEqual(ticks([0, 60], 6), [0, 10, 20, 30, 40, 50, 60]);
  assert.deepEqual(ticks([-0.1, 1.05], 5).map((each) => Number(each.toFixed(6))), [0, 0.5, 1]);
  assert.deepEqual(ticks([1, 1]), []);
});

test("numerals have a minus sign and few digits", () => {
  assert.equal(numeral(-1.23456), "−1.235");
  assert.equal(numeral(24994.2), "24990");
  assert.equal(numeral(1e-7), "1.000e−7");
  assert.equal(numeral(NaN), "undefined");
  assert.equal(numeral(-Infinity), "−∞");
});

test("quantiles leave out what is undefined", () => {
  assert.deepEqual(quantiles([4, NaN, 0, 1], [0, 0.5, 0.75]), [0, 1, 2.5]);
  assert.ok(Number.isNaN(quantiles([NaN], [0.5])[0]));
  const band = bandOf({ values: Float32Array.from([0, 5, 10, 5, 20, 5]), shape: [3, 2], error: 0 });
  assert.deepEqual([...band[1]], [10, 5]);
});

test("parts of arrays", () => {
  const numbers = { values: Float32Array.from({ length: 24 }, (_, i) => i), shape: [2, 3, 4], error: 0 };
  assert.deepEqual([...part(numbers, 1, 2)], [20, 21, 22, 23]);
  assert.deepEqual([...part(numbers, 0)].length, 12);
});

test("a selection is what the state names, or a default", () => {
  const named = selectionOf({ text: "7", site: "final", unit: "3" }, ABOUT);
  assert.deepEqual(named, { row: 2, sample: 7, site: 2, unit: 3 });
  const default_ = { row: 0, sample: 2, site: 1, unit: 5 };
  assert.deepEqual(selectionOf({}, ABOUT), default_);
  assert.deepEqual(selectionOf({ text: "3", site: "9.pre_mlp", unit: "8" }, ABOUT), default_);
  assert.deepEqual(selectionOf({ text: "x", unit: "-1" }, ABOUT), default_);
});

test("texts are sorted by each label, equal ones by index", () => {
  assert.deepEqual(ordered(labelValues(DATA, "index")), [0, 1, 2]);
  assert.deepEqual(ordered(labelValues(DATA, "token")), [1, 0, 2]);
  assert.deepEqual(ordered(labelValues(DATA, "length")), [0, 2, 1]);
  assert.deepEqual(labelValues(DATA, "norm"), [30, 10, 20]);
  assert.deepEqual(ordered(labelValues(DATA, "norm")), [1, 2, 0]);
  assert.equal(labelValues({ about: { samples: { sample: [1] } }, model: {} }, "group"), null);
});

test("texts are found by a part, by number, and in any script", () => {
  assert.deepEqual(found(ABOUT, "APPLE"), [true, false, true]);
  assert.deepEqual(found(ABOUT, "#4"), [false, true, false]);
  assert.deepEqual(found(ABOUT, "<b>"), [true, false, false]);
  assert.deepEqual(found(ABOUT, "אב"), [false, false, true]);
  assert.deepEqual(found(ABOUT, " "), [true, true, true]);
});

test("keys move the selection, to the ends and no further", () => {
  const selection = { row: 0, sample: 2, site: 0, unit: 7 };
  const given = { about: ABOUT, order: [2, 0, 1] };
  assert.deepEqual(changesOfKey("ArrowRight", selection, given), { site: "0.pre_mlp" });
  assert.deepEqual(changesOfKey("ArrowLeft", selection, given), { site: "0.pre_attn" });
  assert.deepEqual(changesOfKey("End", selection, given), { site: "final" });
  assert.deepEqual(changesOfKey("ArrowDown", selection, given), { text: 4 });
  assert.deepEqual(changesOfKey("ArrowUp", selection, given), { text: 7 });
  assert.deepEqual(changesOfKey("]", selection, given), { unit: 0 });
  assert.deepEqual(changesOfKey("[", selection, given), { unit: 6 });
  assert.equal(changesOfKey("a", selection, given), null);
  assert.equal(changesOfKey("constructor", selection, given), null);
  assert.equal(neighbor([5, 3], 3, 1), 3);
  assert.equal(neighbor([5, 3], 8, 1), 5);
});

test("colors of numbers ascend, and of words are distinct", () => {
  const { colors, key } = colorsOf([1, 3, 2]);
  assert.deepEqual(colors, [ramp(0), ramp(1), ramp(0.5)]);
  assert.deepEqual(key.map(([, words]) => words), ["1", "2", "3"]);
  const words = colorsOf(["b", "a", "b"]);
  assert.equal(words.colors[0], words.colors[2]);
  assert.notEqual(words.colors[0], words.colors[1]);
  const many = colorsOf(Array.from({ length: 30 }, (_, i) => `t${i}`));
  assert.equal(many.key.at(-1)[1], "23 others");
  assert.equal(colorsOf(null).colors, null);
});

test("an orbit is the activation and its change", () => {
  const { x, y } = orbit([1, 3, 2]);
  assert.deepEqual([[...x], [...y]], [[1, 3], [2, -1]]);
});

test("paths are seen from a direction without perspective", () => {
  const axes = [1, 0, 0, 0, 1, 0, 0, 0, 1];
  const front = projected(axes, 3, "3d", [0, 0]);
  assert.deepEqual([...front.x], [1, 0, 0]);
  assert.deepEqual([...front.y], [0, 0, 1]);
  const side = projected(axes, 3, "3d", [90, 0]);
  assert.ok(Math.abs(side.x[1] - 1) < 1e-12 && Math.abs(side.x[0]) < 1e-12);
  const above = projected(axes, 3, "3d", [0, 90]);
  assert.ok(Math.abs(above.y[1] + 1) < 1e-12 && Math.abs(above.y[2]) < 1e-12);
  assert.deepEqual([...projected(axes, 3, "1,3", [0, 0]).y], [0, 0, 1]);
});

test("the page says how many samples it shows", () => {
  const some = { ...ABOUT, is_one_per_text: true };
  assert.equal(shownWords(some), "3 of 9 texts, seed 0");
  assert.equal(rowWords(some, 1), "text 4");
  const all = { ...ABOUT, n_samples: 3, is_one_per_text: false };
  assert.equal(shownWords(all), "all 3 tokens");
  assert.equal(rowWords({ ...all, samples: { ...all.samples, position: [5, 6, 7] } }, 1), "text 4, position 6");
  assert.equal(rowName(all, 1), "4:?");
});

test("small helpers", () => {
  assert.equal(nearest([0, 12, 24], 19), 2);
  assert.equal(visible(" a\n"), "␣a↵");
  assert.equal(visible(""), "(empty)");
});
