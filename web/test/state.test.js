import assert from "node:assert/strict";
import { test } from "node:test";

import { State } from "../src/state.js";

test("a fragment is read and written again", () => {
  const state = new State("#view=explore&text=12&site=7.pre_attn&find=a%26b%3D%25");
  assert.deepEqual(state.all(), { view: "explore", text: "12", site: "7.pre_attn", find: "a&b=%" });
  assert.deepEqual(new State(state.fragment()).all(), state.all());
});

test("a fragment without a value names an element", () => {
  assert.deepEqual(new State("#C1").all(), { at: "C1" });
  assert.deepEqual(new State("").all(), {});
  assert.deepEqual(new State("#a=%E0%A4%A").all(), { a: "%E0%A4%A" });
});

test("listeners hear once of what changed, and of nothing else", () => {
  const state = new State("#unit=3");
  const heard = [];
  const stop = state.on(["unit", "site"], (values, changed) => heard.push([values, changed]));
  state.set({ unit: 3 });
  state.set({ theme: "dark" });
  state.set({ unit: 4, site: "0.pre_mlp" });
  assert.deepEqual(heard, [
    [{ unit: "4", theme: "dark", site: "0.pre_mlp" }, ["unit", "site"]],
  ]);
  stop();
  state.set({ unit: null });
  assert.equal(heard.length, 1);
  assert.equal(state.get("unit", "none"), "none");
});

test("a removed value is a change", () => {
  const state = new State("#unit=3&text=1");
  const heard = [];
  state.on([], (_, changed) => heard.push(...changed));
  state.read("#text=1");
  assert.deepEqual(heard, ["unit"]);
});
