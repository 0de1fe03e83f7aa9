/** Controls of the view: depth, unit, text, sorting, colors and null models. */

import { choice, element, labeled } from "./elements.js";
import { rowName } from "./scene.js";
import { LABELS, labelValues, whole } from "./selection.js";

const MILLISECONDS_PER_SITE = 125;

/**
 * @param {HTMLElement} root
 * @param {import("./scene.js").Scene} scene
 * @param {{move: (key: string) => void, found: () => number[], search: HTMLInputElement,
 *   arrange: () => void}} given
 */
export function makeControls(root, scene, { move, found, search, arrange }) {
  const { state } = scene;
  const { about, nulls } = scene.data;
  const depth = depthControl(scene);
  const steps = [["ArrowUp", "previous text"], ["ArrowDown", "next text"], ["[", "previous unit"], ["]", "next unit"]];
  const [upButton, downButton, lessButton, moreButton] = steps.map(([key, words]) => {
    const signs = { ArrowUp: "‹", ArrowDown: "›", "[": "‹", "]": "›" };
    const button = element("button", { type: "button", "aria-label": words, title: words, text: signs[/** @type {"["} */ (key)] });
    button.addEventListener("click", () => move(key));
    return button;
  });
  const unit = element("input", { type: "number", name: "unit", min: "0", max: String(about.n_units - 1), inputmode: "numeric" });
  unit.addEventListener("change", () => {
    const wanted = whole(unit.value);
    if (wanted !== null && wanted < about.n_units) state.set({ unit: wanted });
    else unit.value = String(scene.selection.unit);
  });
  const text = element("b", { class: "chosen" });
  search.addEventListener("input", arrange);
  search.addEventListener("keydown", (event) => {
    const [first] = found();
    if (event.key === "Enter" && first !== undefined) state.set({ text: about.samples.sample[first] });
  });
  /** @type {[string, string][]} */
  const labels = LABELS.filter((label) => labelValues(scene.data, label)).map((label) => [label, NAMES[label]]);
  const order = choice("order", labels);
  const color = choice("color", [["", "none"], ...labels]);
  for (const field of [order, color]) {
    field.addEventListener("change", () => state.set({ [field.name]: field.value === "index" && field === order ? null : field.value }));
  }
  const switches = nulls.map((each) => {
    const box = element("input", { type: "checkbox", name: each.key });
    box.addEventListener("change", () => state.set({ [each.key]: box.checked ? null : "off" }));
    return { each, box, field: labeled(each.name, box) };
  });
  const units = element("span", { class: "units" }, [
    element("span", { text: about.massive.length ? "massive units" : "units of large variance" }),
    ...(about.massive.length ? about.massive : about.traced).slice(0, 8).map((number) => {
      const button = element("button", { type: "button", "data-unit": String(number), text: String(number) });
      button.addEventListener("click", () => state.set({ unit: number }));
      return button;
    }),
  ]);
  const colorKey = element("span", { class: "legend key" });
  root.append(
    element("div", { class: "scrubber" }, [
      depth.play,
      depth.range,
      depth.words,
      element("span", { class: "stepper" }, ["text ", upButton, text, downButton]),
      element("span", { class: "stepper" }, [labeled("unit", unit), lessButton, moreButton]),
    ]),
    element("div", { class: "choices" }, [
      search,
      labeled("sort by", order),
      labeled("color by", color),
      ...switches.map(({ field }) => field),
      units,
      colorKey,
    ]),
  );

  /** Show the selection. */
  function show() {
    const { selection } = scene;
    depth.show();
    if (document.activeElement !== unit) unit.value = String(selection.unit);
    text.textContent = rowName(about, selection.row);
    order.value = state.get("order", "index");
    color.value = state.get("color");
    for (const { each, box } of switches) {
      box.checked = state.get(each.key) !== "off";
      // The switch of the page hides them all.
      box.disabled = state.get("null") === "off";
    }
    for (const button of units.querySelectorAll("button")) {
      button.toggleAttribute("aria-current", Number(button.dataset.unit) === selection.unit);
    }
  }

  /** @param {[string, string][]} key */
  function explain(key) {
    colorKey.replaceChildren(
      ...key.map(([shade, words]) => {
        const sign = element("i", { class: "mark dot" });
        sign.style.setProperty("--mark", shade);
        return element("span", {}, [sign, element("bdi", { text: words })]);
      }),
    );
  }

  return { show, explain, toggle: depth.toggle };
}

/** Names of the labels. */
export const NAMES = { index: "index", token: "last token", length: "length", norm: "norm at the last site", group: "label" };

/** @param {import("./scene.js").Scene} scene */
function depthControl(scene) {
  const { about } = scene.data;
  const last = about.sites.length - 1;
  const play = element("button", { type: "button", class: "play", "aria-label": "Play over depth", text: "▶" });
  const range = element("input", { type: "range", name: "site", min: "0", max: String(last), "aria-label": "Site" });
  const words = element("output", { class: "site" });
  let timer = 0;
  range.addEventListener("input", () => scene.state.set({ site: about.sites[Number(range.value)] }));

  function toggle() {
    if (timer) {
      window.clearInterval(timer);
      timer = 0;
    } else {
      timer = window.setInterval(() => {
        const next = scene.selection.site >= last ? 0 : scene.selection.site + 1;
        scene.state.set({ site: about.sites[next] });
      }, MILLISECONDS_PER_SITE);
    }
    play.textContent = timer ? "❚❚" : "▶";
    play.setAttribute("aria-pressed", String(timer !== 0));
  }
  play.addEventListener("click", toggle);

  function show() {
    const { site } = scene.selection;
    range.value = String(site);
    range.setAttribute("aria-valuetext", about.sites[site]);
    words.textContent = `${about.sites[site]} (${site} of ${last})`;
  }
  return { play, range, words, toggle, show };
}
