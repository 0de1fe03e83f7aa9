/** List of the shown texts: searched, sorted, and one of them selected. */

import { element } from "./elements.js";
import { numeral } from "./scales.js";
import { rowName, shownWords } from "./scene.js";
import { LABELS, found, labelValues, ordered } from "./selection.js";

/** @typedef {import("./selection.js").Label} Label */

/**
 * @param {HTMLElement} root
 * @param {import("./scene.js").Scene} scene
 * @param {HTMLInputElement} search
 */
export function makeList(root, scene, search) {
  const { about } = scene.data;
  const count = element("p", { class: "legend", "data-count": "" });
  const list = element("ol", { class: "texts", "aria-label": "Texts" });
  root.append(element("figure", { class: "plot", "data-plot": "texts" }, [element("h3", { text: "Texts" }), count, list]));
  const values = new Map(LABELS.map((label) => [label, labelValues(scene.data, label)]));
  const items = about.samples.sample.map((sample, row) => {
    const button = element("button", { type: "button", "data-text": String(sample) });
    const name = rowName(about, row);
    const excerpt = (about.texts.string[row] ?? "").slice(-90);
    button.append(
      element("b", { text: name }),
      element("span", { class: "value" }),
      element("bdi", { class: "excerpt", dir: "auto", text: excerpt }),
    );
    button.addEventListener("click", () => scene.state.set({ text: sample }));
    return element("li", {}, [button]);
  });
  /** @type {number[]} */
  let order = [];
  let marked = -1;

  /** Sort and search again. */
  function arrange() {
    const label = /** @type {Label} */ (scene.state.get("order", "index"));
    const known = values.get(label) ?? values.get("index") ?? [];
    const isFound = found(about, search.value);
    order = ordered(known).filter((row) => isFound[row]);
    for (const row of order) {
      const value = known[row];
      const words = label === "index" ? "" : typeof value === "number" ? numeral(value) : value;
      const place = items[row].querySelector(".value");
      if (place) place.textContent = words;
    }
    list.replaceChildren(...order.map((row) => items[row]));
    const matches = search.value.trim() ? `${order.length} found among ` : "";
    count.textContent = `${matches}${shownWords(about)}`;
  }

  /** Mark the selected text, and show it within the list. */
  function mark() {
    const { row } = scene.selection;
    if (row === marked) return;
    items[marked]?.removeAttribute("aria-current");
    marked = row;
    items[row].setAttribute("aria-current", "true");
    const { offsetTop, offsetHeight } = items[row];
    if (offsetTop < list.scrollTop || offsetTop + offsetHeight > list.scrollTop + list.clientHeight) {
      list.scrollTop = offsetTop - list.clientHeight / 2;
    }
  }

  return { arrange, mark, order: () => order };
}
