/** Files of a figure: CSV, SVG, PNG. */

import { CanvasSurface, SvgSurface } from "./surface.js";

/**
 * @typedef {"svg" | "png"} Format
 * @typedef {() => Blob | string | Promise<Blob | string>} Make makes a file, or its address
 * @typedef {{title: () => string, files: Record<string, Make>}} Source
 *   name of a figure, and its files by format
 * @typedef {{width: number, height: number, background: string}} Page
 */

const SCALE = 2;

/**
 * Serve the buttons under a figure.
 * @param {Element} box holds the buttons
 * @param {Source} source
 */
export function serveSaving(box, source) {
  for (const button of box.querySelectorAll("button[data-save]")) {
    button.addEventListener("click", () => {
      void save(source, /** @type {HTMLElement} */ (button).dataset.save ?? "");
    });
  }
}

/**
 * @param {Source} source
 * @param {string} format
 */
async function save(source, format) {
  const made = await source.files[format]();
  const name = `${slug(source.title())}.${format}`;
  if (typeof made === "string") link(made, name);
  else download(made, name);
}

/**
 * File of a table.
 * @param {string} csv
 */
export function tableFile(csv) {
  return new Blob([csv], { type: "text/csv;charset=utf-8" });
}

/**
 * Picture of what a function paints on a surface; PNG has twice the pixels.
 * @param {Format} format
 * @param {Page} page
 * @param {(surface: import("./surface.js").Surface) => void} paint
 * @returns {Promise<Blob>}
 */
export async function pictureOf(format, { width, height, background }, paint) {
  if (format === "svg") return new Blob([svgOf({ width, height, background }, paint)], { type: "image/svg+xml" });
  const canvas = document.createElement("canvas");
  canvas.width = width * SCALE;
  canvas.height = height * SCALE;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.scale(SCALE, SCALE);
  const surface = new CanvasSurface(context);
  surface.box(0, 0, width, height, { color: background });
  paint(surface);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no PNG was made"))));
  });
}

/**
 * SVG file of what a function paints.
 * @param {Page} page
 * @param {(surface: import("./surface.js").Surface) => void} paint
 * @returns {string}
 */
export function svgOf({ width, height, background }, paint) {
  const surface = new SvgSurface();
  surface.box(0, 0, width, height, { color: background });
  paint(surface);
  return surface.text(width, height);
}

/**
 * @param {Blob} blob
 * @param {string} name
 */
function download(blob, name) {
  const url = URL.createObjectURL(blob);
  link(url, name);
  window.setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/**
 * @param {string} url
 * @param {string} name
 */
function link(url, name) {
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.download = name;
  anchor.click();
}

/**
 * Title as the name of a file.
 * @param {string} title
 * @returns {string}
 */
export function slug(title) {
  const words = title.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  return words.join("-").slice(0, 80) || "figure";
}
