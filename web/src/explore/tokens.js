/** The selected text with its tokens, and the next tokens that the logit lens decodes at each site. */

import { part } from "./data.js";
import { ramp } from "./colors.js";
import { element } from "./elements.js";
import { offerFiles, pythonOf } from "./files.js";
import { Plot } from "./plot.js";
import { numeral } from "./scales.js";
import { rowSeries, rowWords } from "./scene.js";
import { nearestSite } from "./trace.js";

/** @type {import("./scene.js").MakeView} */
export function makeText(root, scene) {
  const { about } = scene.data;
  const heading = element("h3");
  const facts = element("p", { class: "legend" });
  const body = element("p", { class: "tokens", dir: "auto" });
  root.append(element("figure", { class: "plot", "data-plot": "text" }, [heading, facts, body]));
  let shown = -1;

  function top() {
    const { row } = scene.selection;
    if (row === shown) return;
    shown = row;
    heading.textContent = `The selected text: ${rowWords(about, row)}`;
    const { token, length, group } = about.samples;
    const words = [];
    if (token) words.push(`last token ${JSON.stringify(token[row])}`);
    if (length) words.push(`${length[row]} tokens`);
    if (group) words.push(`label ${group[row] || "none"}`);
    facts.textContent = words.join("; ");
    body.replaceChildren(...content(row));
  }

  /** @param {number} row */
  function content(row) {
    const { strings, tokens, left_out: left } = about.tokens;
    const list = tokens[row];
    if (!list) {
      const cut = about.texts.left_out[row];
      const before = cut ? [element("i", { text: `${cut} characters left out … ` })] : [];
      return [...before, about.texts.string[row] ?? "The recording does not hold its texts."];
    }
    const spans = list.map((token, index) =>
      element("span", { class: index === list.length - 1 ? "token last" : "token", text: strings[token] }),
    );
    const cut = left?.[row];
    return cut ? [element("i", { text: `${cut} tokens left out … ` }), ...spans] : spans;
  }

  return { base: () => {}, top, keys: [] };
}

/** @type {import("./scene.js").MakeView} */
export function makeLens(root, scene) {
  const { about, lens } = scene.data;
  const plot = new Plot(root, { name: "lens", title: "Next tokens decoded at each site (logit lens)", height: 150 }, () => {
    base();
    top();
  });
  const table = element("table", { class: "lens" });
  plot.figure.append(table);
  offerFiles(plot, scene, () => (place() < 0 ? null : pythonOf("lens", { sample: scene.selection.sample })));
  let drawn = -1;

  function place() {
    return lens ? (lens.row[scene.selection.row] ?? -1) : -1;
  }

  function base() {
    const { palette } = scene;
    drawn = scene.selection.row;
    plot.stage.hidden = place() < 0;
    const n = lens ? lens.token.shape[2] : 5;
    const axes = {
      x: /** @type {[number, number]} */ ([-0.5, about.sites.length - 0.5]),
      y: /** @type {[number, number]} */ ([n + 0.5, 0.5]),
      xLabel: "site (index)",
      yLabel: "rank",
      valueLabel: "probability (1)",
    };
    plot.drawBase(axes, palette, (pen) => {
      if (!lens || place() < 0) return;
      const shares = part(lens.probability, place());
      const tokens = part(lens.token, place());
      const series = rowSeries(about, "decoded tokens", scene.selection.row);
      for (let site = 0; site < about.sites.length; site += 1) {
        for (let rank = 0; rank < n; rank += 1) {
          const value = shares[site * n + rank];
          const label = lens.strings[tokens[site * n + rank]];
          pen.cell(site, rank + 1, { color: ramp(value), series, value, label });
        }
      }
    });
    plot.name(lens && place() >= 0 ? [[ramp(0), "probability 0", "band"], [ramp(0.5), "0.5", "band"], [ramp(1), "1", "band"]] : []);
  }

  function top() {
    const { palette, selection } = scene;
    if (drawn !== selection.row) base();
    const { site } = selection;
    plot.drawTop((pen) => pen.column(site, palette.text));
    if (!lens || place() < 0) {
      plot.readout.textContent = lens
        ? `This text was not decoded: the logit lens reads ${lens.token.shape[0]} of the shown texts.`
        : "Not on this page: the run has no result of perturbation.logit_lens.";
      table.replaceChildren();
      return;
    }
    plot.readout.textContent =
      `${rowWords(about, selection.row)} at ${about.sites[site]} — KL from the final prediction ` +
      `${numeral(part(lens.kl, place())[site])} nats`;
    const tokens = part(lens.token, place(), site);
    const shares = part(lens.probability, place(), site);
    const rows = Array.from(tokens, (token, rank) =>
      element("tr", {}, [
        element("td", { text: String(rank + 1) }),
        element("td", {}, [element("bdi", { class: "token", text: visible(lens.strings[token]) })]),
        element("td", { class: "number", text: numeral(shares[rank], 3) }),
      ]),
    );
    const head = ["rank", "token", "probability"].map((words) => element("th", { text: words }));
    table.replaceChildren(element("tr", {}, head), ...rows);
  }

  plot.offer(
    (x) => {
      const site = nearestSite(plot, x, about.sites.length);
      const token = lens && place() >= 0 ? visible(lens.strings[part(lens.token, place(), site)[0]]) : "";
      return { words: `${about.sites[site]} ${token}`, changes: { site: about.sites[site] } };
    },
    (changes) => scene.state.set(changes),
  );
  return { base, top, keys: ["theme"] };
}

/**
 * A token with marks for its blanks.
 * @param {string} token
 */
export function visible(token) {
  return token.replaceAll(" ", "␣").replaceAll("\n", "↵").replaceAll("\t", "→") || "(empty)";
}
