/** Texts with the largest and the smallest states of the selected unit, over all texts. */

import { tableFile } from "../figures/saving.js";
import { part } from "./data.js";
import { element } from "./elements.js";
import { offerButtons, pythonOf } from "./files.js";
import { numeral } from "./scales.js";
import { noun, rowWords } from "./scene.js";
import { csvOfRows } from "./table.js";

/** @type {import("./scene.js").MakeView} */
export function makeExtremes(root, scene) {
  const { about, model } = scene.data;
  const heading = element("h3");
  const words = element("p", { class: "legend" });
  const [largest, smallest] = ["largest", "smallest"].map((which) => {
    const list = element("ol", { class: "extremes" });
    return { which, list };
  });
  const columns = [largest, smallest].map(({ which, list }) =>
    element("div", {}, [element("h4", { text: which === "largest" ? "Top" : "Bottom" }), list]),
  );
  const figure = element("figure", { class: "plot", "data-plot": "extremes" }, [
    heading,
    words,
    element("div", { class: "columns" }, columns),
  ]);
  root.append(figure);
  const source = { title: () => heading.textContent ?? "", files: { csv: () => tableFile(csv()) } };
  offerButtons(figure, scene, source, () => {
    const { unit, site } = scene.selection;
    return pythonOf("extremes", { unit, site: about.sites[site] }, ".to_dataframe()");
  });
  const rowOf = new Map(about.samples.sample.map((sample, row) => [sample, row]));
  let shown = "";

  function top() {
    const { unit, site, row } = scene.selection;
    const place = nearest(about.extreme_sites, site);
    const key = `${unit} ${place} ${row}`;
    if (key === shown) return;
    shown = key;
    heading.textContent = `Top and bottom texts of unit ${unit}`;
    words.textContent =
      `Over all ${about.n_samples} ${noun(about)} at ${about.sites[about.extreme_sites[place]]}, the nearest ` +
      `of ${about.extreme_sites.length} listed sites; stream units.`;
    const samples = part(model.extremes, place, unit);
    const values = part(model.extreme_values, place, unit);
    const half = samples.length / 2;
    largest.list.replaceChildren(...lines(samples, values, 0, half));
    smallest.list.replaceChildren(...lines(samples, values, half, 2 * half));
  }

  function csv() {
    const { unit, site } = scene.selection;
    const place = nearest(about.extreme_sites, site);
    const samples = part(model.extremes, place, unit);
    const values = part(model.extreme_values, place, unit);
    const half = samples.length / 2;
    const rows = Array.from(samples, (sample, index) => ({
      end: index < half ? "top" : "bottom",
      rank: (index % half) + 1,
      sample,
      text: about.text_of_sample[sample],
      value: values[index],
      unit,
      site: about.sites[about.extreme_sites[place]],
      from: `all ${about.n_samples} ${noun(about)}`,
    }));
    const columns = ["end", "rank", "sample", "text", "value", "unit", "site", "from"];
    const headings = { value: "activation (stream units)", from: "drawn from" };
    return csvOfRows(rows, columns.map((key) => [key, headings[/** @type {"value"} */ (key)] ?? key]));
  }

  /**
   * @param {ArrayLike<number>} samples
   * @param {ArrayLike<number>} values
   * @param {number} from
   * @param {number} to
   */
  function lines(samples, values, from, to) {
    const made = [];
    for (let index = from; index < to; index += 1) {
      made.push(line(samples[index], values[index]));
    }
    return made;
  }

  /** @param {number} sample @param {number} value */
  function line(sample, value) {
    const row = rowOf.get(sample);
    const text = row === undefined ? (about.text_of_sample[sample] ?? sample) : about.samples.text[row];
    const name = row === undefined ? `text ${text}` : rowWords(about, row);
    const number = element("b", { text: numeral(value) });
    const excerpt = row === undefined ? about.listed[String(text)] : about.texts.string[row]?.slice(-120);
    const end = element("bdi", { class: "excerpt", dir: "auto", text: excerpt ? `… ${excerpt}` : "" });
    if (row === undefined) {
      return element("li", {}, [number, ` ${name} (not among the shown texts) `, end]);
    }
    const button = element("button", { type: "button", "data-text": String(sample), text: name });
    button.addEventListener("click", () => scene.state.set({ text: sample }));
    if (row === scene.selection.row) button.setAttribute("aria-current", "true");
    return element("li", {}, [number, " ", button, " ", end]);
  }

  return { base: () => {}, top, keys: [] };
}

/**
 * Index of the number in a list that lies nearest to a value.
 * @param {number[]} list
 * @param {number} value
 */
export function nearest(list, value) {
  let best = 0;
  list.forEach((each, index) => {
    if (Math.abs(each - value) < Math.abs(list[best] - value)) best = index;
  });
  return best;
}
