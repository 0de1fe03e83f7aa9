/** Trajectories of the texts over depth in principal components, or in an autoencoder's plane. */

import { part } from "./data.js";
import { choice, labeled } from "./elements.js";
import { nullArguments, offerFiles, pythonOf } from "./files.js";
import { Plot } from "./plot.js";
import { nearestPoint } from "./portrait.js";
import { extent, numeral, padded } from "./scales.js";
import { COMMON, drawTexts, noun, nullLook, rowIn, rowName, rowSeries, rowWords, shownWords } from "./scene.js";

/** @typedef {{x: Float64Array, y: Float64Array}} Path */
/** @typedef {import("./data.js").Numbers} Numbers */

const PLANES = { "1,2": "PC1 and PC2", "1,3": "PC1 and PC3", "2,3": "PC2 and PC3", "3d": "PC1, PC2, PC3 (drag to turn)" };
const TURN = [35, 20];
const DEGREES_PER_PIXEL = 0.6;
// Paths of a null model that are drawn.
const N_NULL_PATHS = 40;

/** @type {import("./scene.js").MakeView} */
export function makeTrajectory(root, scene) {
  const { about, model } = scene.data;
  const plot = new Plot(root, { name: "trajectory", title: "Trajectory", height: 360, turns: true, isColored: true }, () => {
    base();
    top();
  });
  const planes = planesOf(scene.data);
  const field = choice("plane", planes);
  field.addEventListener("change", () => scene.state.set({ plane: field.value }));
  plot.heading.after(labeled("Plane", field));
  offerTurning();
  offerFiles(plot, scene, () => {
    const { sample, site } = scene.selection;
    if (!planes.length) return null;
    const given = { sample, site: about.sites[site], plane: plane(), ...nullArguments(scene) };
    return pythonOf("trajectory", plane() === "3d" ? { ...given, turn: turn() } : given);
  });
  /** @type {(Path | null)[]} */
  let paths = [];

  function plane() {
    const wanted = scene.state.get("plane");
    return planes.some(([value]) => value === wanted) ? wanted : (planes[0]?.[0] ?? "");
  }

  /** @returns {[number, number]} */
  function turn() {
    const [across, up] = scene.state.get("turn").split(",").map(Number);
    return Number.isFinite(across) && Number.isFinite(up) ? [across, up] : /** @type {[number, number]} */ (TURN);
  }

  /**
   * Path of a row in the plane.
   * @param {Numbers | undefined} scores
   * @param {number} row
   * @returns {Path | null}
   */
  function path(scores, row) {
    return scores && row >= 0 ? projected(part(scores, row), scores.shape[2], plane(), turn()) : null;
  }

  /** @param {number} row */
  function own(row) {
    if (plane() !== "autoencoder") return path(model.score, row);
    return path(model.latents?.latent, model.latents?.row[row] ?? -1);
  }

  /** @param {import("./data.js").NullModel} each @param {number} row */
  function ofNull(each, row) {
    return plane() === "autoencoder" ? null : path(each.score, rowIn(each, row));
  }

  function base() {
    const { palette, nulls } = scene;
    field.value = plane();
    plot.stage.classList.toggle("turns", plane() === "3d");
    const rows = about.samples.sample.map((_, row) => row);
    paths = rows.map(own);
    const nullPaths = nulls.map((each) => rows.map((row) => ofNull(each, row)));
    const known = /** @type {Path[]} */ (paths.filter((each) => each !== null));
    const all = [known, ...nullPaths.map((each) => each.filter((one) => one !== null))].flat();
    const axes = { ...axesOf(plane(), model.share, turn()), ...domains(all, plane() === "3d", plot) };
    plot.drawBase(axes, palette, (pen) => {
      nulls.forEach((each, index) => {
        const lines = rows.filter((row) => nullPaths[index][row]).slice(0, N_NULL_PATHS);
        const texts = lines.map((row) => rowName(about, row));
        const series = { name: each.name, from: drawnWords(nullPaths[index]), texts };
        pen.lines(pathsOf(lines.map((row) => nullPaths[index][row])), { color: palette[each.key], width: 0.8, alpha: 0.3, series });
      });
      const own = paths.map((one) => /** @type {import("./pen.js").Path | null} */ (one && [one.x, one.y]));
      drawTexts(pen, scene, own, { name: "texts", width: 0.7, alpha: 0.3, colored: 0.45 });
      if (plane() === "3d" && model.score) drawDirections(pen, plot, all, turn(), palette);
    });
    name(nullPaths);
  }

  /** @param {(Path | null)[][]} nullPaths */
  function name(nullPaths) {
    const { palette, nulls } = scene;
    /** @type {[string, string, ("line" | "dash" | "band" | "dot")?][]} */
    const entries = [
      [palette.text, "selected text"],
      [palette.others, `texts (${shownWords(about)}), a dot at the selected site`, "dot"],
    ];
    nulls.forEach((each, index) => {
      if (nullPaths[index].some((one) => one !== null)) {
        entries.push([palette[each.key], `${each.name}, in its own components: ${drawnWords(nullPaths[index])}, and the selected one`, "dash"]);
      } else if (plane() === "autoencoder") {
        entries.push([palette[each.key], `${each.name}: not in the autoencoder's plane`, "dash"]);
      }
    });
    plot.name(entries);
  }

  /** @param {(Path | null)[]} of paths of a null model, by row */
  function drawnWords(of) {
    const n = of.filter((one) => one !== null).length;
    return n > N_NULL_PATHS ? `${N_NULL_PATHS} of ${n} ${noun(about)}` : `${n} ${noun(about)}`;
  }

  function top() {
    const { palette, selection, colors } = scene;
    const { row, site } = selection;
    const mine = own(row);
    plot.drawTop((pen) => {
      paths.forEach((one, each) => {
        if (one) pen.point(one.x[site], one.y[site], { color: colors?.[each] ?? palette.others, size: 2.2 });
      });
      for (const each of scene.nulls) {
        const one = ofNull(each, row);
        if (!one) continue;
        const series = rowSeries(about, `${each.name}: selected text`, row);
        pen.line(one.x, one.y, { color: palette[each.key], width: 1.6, series, ...nullLook(each) });
        pen.point(one.x[site], one.y[site], { color: palette[each.key], size: 4 });
      }
      if (!mine) return;
      pen.line(mine.x, mine.y, { color: palette.text, width: 2.2, series: rowSeries(about, "selected text", row) });
      pen.point(mine.x[0], mine.y[0], { color: palette.paper, size: 3, ring: palette.text });
      pen.point(mine.x[site], mine.y[site], { color: palette.text, size: 5, ring: palette.paper });
    });
    plot.readout.textContent = words(row, site);
  }

  /** @param {number} row @param {number} site */
  function words(row, site) {
    if (!planes.length) {
      return "No coordinates on this page: the run has no result of dimension.pca.";
    }
    const isLatent = plane() === "autoencoder";
    const scores = isLatent ? model.latents?.latent : model.score;
    const place = isLatent ? (model.latents?.row[row] ?? -1) : row;
    const label = `${rowWords(about, row)} at ${about.sites[site]}`;
    if (!scores || place < 0) return `${label} — not among the texts that the autoencoder was scored on`;
    const values = part(scores, place, site);
    const axis = isLatent ? "z" : "PC";
    return `${label} — ${Array.from(values, (value, i) => `${axis}${i + 1} ${numeral(value)}`).join(", ")}`;
  }

  function offerTurning() {
    /** @type {{x: number, y: number, turn: [number, number]} | null} */
    let held = null;
    plot.stage.addEventListener("pointerdown", (event) => {
      if (plane() !== "3d") return;
      held = { x: event.clientX, y: event.clientY, turn: turn() };
      plot.stage.setPointerCapture(event.pointerId);
    });
    plot.stage.addEventListener("pointermove", (event) => {
      if (!held || !event.buttons) return;
      const across = held.turn[0] + (event.clientX - held.x) * DEGREES_PER_PIXEL;
      const up = held.turn[1] + (event.clientY - held.y) * DEGREES_PER_PIXEL;
      const bounded = Math.min(90, Math.max(-90, up));
      scene.state.set({ turn: `${Math.round(across)},${Math.round(bounded)}` });
    });
    plot.stage.addEventListener("pointerup", () => {
      held = null;
    });
  }

  plot.offer(
    (x, y) => {
      let best = /** @type {{row: number, site: number} | null} */ (null);
      let least = Infinity;
      for (let row = 0; row < about.samples.sample.length; row += 1) {
        const one = paths[row];
        const site = one ? nearestPoint(plot, one.x, one.y, x, y) : -1;
        if (!one || site < 0) continue;
        const distance = (plot.x(one.x[site]) - x) ** 2 + (plot.y(one.y[site]) - y) ** 2;
        if (distance < least) [best, least] = [{ row, site }, distance];
      }
      if (!best) return null;
      return {
        words: `${rowWords(about, best.row)}, ${about.sites[best.site]}`,
        changes: { text: about.samples.sample[best.row], site: about.sites[best.site] },
      };
    },
    (changes) => scene.state.set(changes),
  );
  return { base, top, keys: ["plane", "turn", ...COMMON] };
}

/**
 * Planes that the data hold, with their words.
 * @param {import("./data.js").Data} data
 * @returns {[string, string][]}
 */
function planesOf({ model }) {
  const n = model.score?.shape[2] ?? 0;
  const pairs = Object.entries(PLANES).filter(([value]) => n >= 3 || (n === 2 && value === "1,2"));
  if (model.latents) pairs.push(["autoencoder", "autoencoder, 2 latents"]);
  return pairs;
}

/**
 * Coordinates of a path in a plane; of three components seen from a direction, without perspective.
 * @param {ArrayLike<number>} values
 * @param {number} n components
 * @param {string} plane
 * @param {[number, number]} turn degrees about the vertical axis, and up
 * @returns {Path}
 */
export function projected(values, n, plane, turn) {
  const length = values.length / n;
  const x = new Float64Array(length);
  const y = new Float64Array(length);
  const [first, second] = plane.includes(",") ? plane.split(",").map((each) => Number(each) - 1) : [0, 1];
  const [across, up] = turn.map((degrees) => (degrees * Math.PI) / 180);
  for (let i = 0; i < length; i += 1) {
    if (plane === "3d") {
      const [a, b, c] = [values[i * n], values[i * n + 1], values[i * n + 2]];
      x[i] = a * Math.cos(across) + b * Math.sin(across);
      y[i] = c * Math.cos(up) + (a * Math.sin(across) - b * Math.cos(across)) * Math.sin(up);
    } else {
      x[i] = values[i * n + first];
      y[i] = values[i * n + second];
    }
  }
  return { x, y };
}

/**
 * @param {(Path | null)[]} paths
 * @returns {import("./pen.js").Path[]}
 */
function pathsOf(paths) {
  return paths.flatMap((one) => (one ? [/** @type {import("./pen.js").Path} */ ([one.x, one.y])] : []));
}

/**
 * @param {string} plane
 * @param {(number | null)[] | undefined} shares
 * @param {[number, number]} turn
 */
function axesOf(plane, shares, [across, up]) {
  if (plane === "autoencoder") {
    return { xLabel: "latent 1 (no unit)", yLabel: "latent 2 (no unit)" };
  }
  if (plane === "3d") {
    const turned = `PC1, PC2, PC3 turned by ${across}° and ${up}°`;
    return { xLabel: `across, ${turned} (stream units)`, yLabel: "up (stream units)" };
  }
  const [first, second] = plane.split(",").map(Number);
  const label = (/** @type {number} */ component) => {
    const share = shares?.[component - 1];
    const percent = share === null || share === undefined ? "" : `; ${(100 * share).toFixed(1)} % of variance`;
    return `PC${component} (stream units${percent})`;
  };
  return { xLabel: label(first), yLabel: label(second) };
}

/**
 * Ranges of paths; in three dimensions both axes have one scale.
 * @param {Path[]} paths
 * @param {boolean} isTurned
 * @param {Plot} plot
 * @returns {{x: [number, number], y: [number, number]}}
 */
function domains(paths, isTurned, plot) {
  const x = padded(extent(...paths.map((each) => each.x)));
  const y = padded(extent(...paths.map((each) => each.y)));
  if (!isTurned) return { x, y };
  const per = Math.max((x[1] - x[0]) / Math.max(1, plot.width - 70), (y[1] - y[0]) / (plot.height - 48));
  const around = (/** @type {[number, number]} */ range, /** @type {number} */ pixels) => {
    const middle = (range[0] + range[1]) / 2;
    return /** @type {[number, number]} */ ([middle - (per * pixels) / 2, middle + (per * pixels) / 2]);
  };
  return { x: around(x, plot.width - 70), y: around(y, plot.height - 48) };
}

/**
 * Directions of the three components, from the corner of the plot.
 * @param {import("./pen.js").Strokes} pen
 * @param {Plot} plot
 * @param {Path[]} paths
 * @param {[number, number]} turn
 * @param {import("./colors.js").Palette} palette
 */
function drawDirections(pen, plot, paths, turn, palette) {
  const range = extent(...paths.map((each) => each.x));
  const size = range ? (range[1] - range[0]) * 0.16 : 1;
  const [left, bottom] = [plot.inverseX?.(105) ?? 0, plot.inverseY?.(plot.height - 90) ?? 0];
  for (let component = 0; component < 3; component += 1) {
    const tip = [0, 0, 0];
    tip[component] = size;
    const { x, y } = projected(tip, 3, "3d", turn);
    pen.line([left, left + x[0]], [bottom, bottom + y[0]], { color: palette.soft, width: 1.2 });
    pen.word(`PC${component + 1}`, left + x[0] * 1.15, bottom + y[0] * 1.15, palette.soft);
  }
}
