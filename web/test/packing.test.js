import assert from "node:assert/strict";
import { test } from "node:test";

import { unpack, unpackArray } from "../src/packing.js";

// packed_array([[1, -2, 0.1], [65504, nan, 6e-8]], "f2") of report/packing.py
const HALVES = { dtype: "f2", shape: [2, 3], data: "Y7BhOJCm97+aoY6RAQA=", error: 2.44140625e-5 };

test("float16 with its shape and its error", async () => {
  const { values, shape, error } = await unpackArray(HALVES);
  assert.deepEqual(shape, [2, 3]);
  assert.equal(error, 2.44140625e-5);
  assert.deepEqual([...values], [1, -2, 1638 * 2 ** -14, 65504, NaN, 2 ** -24]);
});

test("packed values at any depth", async () => {
  const read = await unpack({ a: [HALVES, null, "text"], b: { c: 1 } });
  assert.equal(read.a[0].values.length, 6);
  assert.deepEqual([read.a[1], read.a[2], read.b], [null, "text", { c: 1 }]);
});

test("a type that is not known is named", async () => {
  await assert.rejects(unpackArray({ dtype: "c8", shape: [1], data: "" }), /c8.*f2, f4/);
});
