/** The view Explore: linked views of one text, one site and one unit. */

import { colorsOf, palette } from "../explore/colors.js";
import { NAMES, makeControls } from "../explore/controls.js";
import { readData } from "../explore/data.js";
import { element } from "../explore/elements.js";
import { makeExtremes } from "../explore/extremes.js";
import { makeList } from "../explore/list.js";
import { makeCosine, makeSpeed } from "../explore/movement.js";
import { makePortrait } from "../explore/portrait.js";
import { numeral } from "../explore/scales.js";
import { changesOfKey, labelValues, selectionOf } from "../explore/selection.js";
import { makeCorrelation, makeInformation } from "../explore/steps.js";
import { makeLens, makeText } from "../explore/tokens.js";
import { makeTrace } from "../explore/trace.js";
import { makeTrajectory } from "../explore/trajectory.js";
import { isTyping } from "../shell/help.js";

const VIEWS = [
  makeTrajectory,
  makeTrace,
  makePortrait,
  makeText,
  makeLens,
  makeExtremes,
  makeSpeed,
  makeCosine,
  makeCorrelation,
  makeInformation,
];
/** @typedef {import("../explore/selection.js").Label} Label */

/**
 * Build the view.
 * @param {HTMLElement} root
 * @param {import("../context.js").Context} context
 */
export function mount(root, context) {
  root.append(element("p", { class: "lead", text: "Reading the data of this view …" }));
  readData(context).then(
    (data) => build(root, context, data),
    (error) => {
      root.replaceChildren(element("p", { text: `The data of this view cannot be read: ${error.message}` }));
    },
  );
}

/**
 * @param {HTMLElement} root
 * @param {import("../context.js").Context} context
 * @param {import("../explore/data.js").Data} data
 */
function build(root, context, data) {
  const { state } = context;
  const scene = {
    data,
    state,
    selection: selectionOf(state.all(), data.about),
    palette: palette(),
    nulls: data.nulls,
    colors: /** @type {string[] | null} */ (null),
    colorKey: /** @type {[string, string][]} */ ([]),
    afterDrawing: /** @type {(() => void)[]} */ ([]),
  };
  const bar = element("div", { class: "controls" });
  const grid = element("div", { class: "grid" });
  root.replaceChildren(bar, grid, element("p", { class: "legend", text: precision(data) }));
  keepBelowTabs(root);
  const search = element("input", { type: "search", name: "find", placeholder: "Search texts, or #12", "aria-label": "Search texts" });
  const list = makeList(grid, scene, search);
  const move = (/** @type {string} */ key) => {
    const changes = changesOfKey(key, scene.selection, { about: data.about, order: list.order() });
    if (changes) state.set(changes);
    return changes !== null;
  };
  const controls = makeControls(bar, scene, { move, found: list.order, search, arrange: list.arrange });
  const views = VIEWS.map((make) => make(grid, scene));

  /** @param {string[]} changed */
  function draw(changed) {
    const start = performance.now();
    scene.selection = selectionOf(state.all(), data.about);
    if (changed.includes("theme")) scene.palette = palette();
    const areShown = state.get("null") !== "off";
    scene.nulls = data.nulls.filter((each) => areShown && state.get(each.key) !== "off");
    if (changed.includes("color")) {
      const label = /** @type {Label | ""} */ (state.get("color"));
      const { colors, key } = colorsOf(label ? labelValues(data, label) : null);
      scene.colors = colors;
      scene.colorKey = key.map(([shade, words]) => [shade, label ? `${NAMES[label]} ${words}` : words]);
      controls.explain(key);
    }
    if (changed.includes("order")) list.arrange();
    controls.show();
    list.mark();
    for (const view of views) {
      if (view.keys.some((key) => changed.includes(key))) view.base();
      view.top();
    }
    for (const call of scene.afterDrawing) call();
    root.dataset.redraw = (performance.now() - start).toFixed(2);
    root.dataset.drawn = `${scene.selection.sample},${scene.selection.site},${scene.selection.unit}`;
  }

  followState(state, root, draw);
  context.onTheme(() => draw(["theme"]));
  document.addEventListener("keydown", (event) => {
    if (root.hidden || event.ctrlKey || event.metaKey || event.altKey || isElsewhere(event)) return;
    if (event.key === " ") controls.toggle();
    else if (!move(event.key)) return;
    event.preventDefault();
  });
}

/**
 * Words for the rounding of the numbers on the page.
 * @param {import("../explore/data.js").Data} data
 */
function precision({ model }) {
  const errors = [
    ["traces", model.traces],
    ["quantiles", model.quantiles],
    ["components", model.score],
    ["speed", model.speed],
    ["cosine", model.cosine],
  ].flatMap(([name, numbers]) => {
    if (typeof numbers !== "object") return [];
    return [`${name} ${numeral(numbers.error, 2)}`];
  });
  return `Numbers are stored with 16 bits where these hold them. Largest rounding error: ${errors.join(", ")}.`;
}

/**
 * Tell the style sheet the height of the tabs, below which the controls stay.
 * @param {HTMLElement} root
 */
function keepBelowTabs(root) {
  const tabs = document.getElementById("tabs");
  if (!tabs) return;
  const tell = () => root.style.setProperty("--tabs-height", `${tabs.offsetHeight}px`);
  new ResizeObserver(tell).observe(tabs);
  tell();
}

/**
 * Draw now, and once a frame after the state has changed.
 * @param {import("../state.js").State} state
 * @param {HTMLElement} root
 * @param {(changed: string[]) => void} draw
 */
function followState(state, root, draw) {
  /** @type {Set<string>} */
  const waiting = new Set();
  let isWaiting = false;
  const flush = () => {
    isWaiting = false;
    // Another view is shown; the change to this one comes here again.
    if (root.hidden) return;
    const changed = [...waiting];
    waiting.clear();
    draw(changed);
  };
  state.on([], (_, changed) => {
    if (!isWaiting) requestAnimationFrame(flush);
    isWaiting = true;
    for (const key of changed) waiting.add(key);
  });
  draw(["unit", "text", "site", "order", "color", "theme"]);
  root.dataset.ready = "yes";
}

/**
 * Whether a key belongs to the field that has the focus; arrows of the depth's slider are the view's.
 * @param {KeyboardEvent} event
 */
function isElsewhere({ target, key }) {
  if (target instanceof HTMLInputElement && target.type === "range") return false;
  if (target instanceof HTMLInputElement && target.type === "checkbox") return key === " ";
  const isPressed = target instanceof Element && target.closest("button, summary") !== null;
  if (isPressed && key === " ") return true;
  return isTyping(target) || document.querySelector("dialog[open]") !== null;
}
