/**
 * Surfaces that figures are drawn on, in pixels: a canvas, or the text of an SVG file.
 *
 * A path is begun, led through points, then stroked or filled; the same calls make both.
 *
 * @typedef {{color: string, width?: number, dash?: number[], alpha?: number}} Stroke
 * @typedef {{color: string, alpha?: number}} Fill
 * @typedef {{color: string, size: number, align?: "start" | "middle" | "end",
 *   baseline?: "top" | "middle" | "bottom" | "alphabetic", isUpright?: boolean, most?: number}} Face
 *   `isUpright`: the text runs upwards; `most`: pixels that it must not exceed
 *
 * @typedef {Object} Surface
 * @property {() => void} begin
 * @property {(x: number, y: number) => void} move go to a point without a line
 * @property {(x: number, y: number) => void} draw go to a point with a line
 * @property {(x: number, y: number, radius: number) => void} circle
 * @property {() => void} close
 * @property {(stroke: Stroke) => void} stroke
 * @property {(fill: Fill) => void} fill
 * @property {(x: number, y: number, width: number, height: number, fill: Fill) => void} box
 * @property {(text: string, x: number, y: number, face: Face) => void} word
 * @property {(x: number, y: number, width: number, height: number, paint: () => void) => void} within
 *   draw what lies in a rectangle alone
 * @property {(right: number, down: number, paint: () => void) => void} moved
 */

const FAMILY = "system-ui, -apple-system, 'Segoe UI', sans-serif";
// Width of a character of running text, as a share of its size.
const CHARACTER = 0.53;

/** @implements {Surface} */
export class CanvasSurface {
  /** @param {CanvasRenderingContext2D} context */
  constructor(context) {
    this._context = context;
  }

  begin() {
    this._context.beginPath();
  }

  /** @param {number} x @param {number} y */
  move(x, y) {
    this._context.moveTo(x, y);
  }

  /** @param {number} x @param {number} y */
  draw(x, y) {
    this._context.lineTo(x, y);
  }

  /** @param {number} x @param {number} y @param {number} radius */
  circle(x, y, radius) {
    this._context.moveTo(x + radius, y);
    this._context.arc(x, y, radius, 0, 2 * Math.PI);
  }

  close() {
    this._context.closePath();
  }

  /** @param {Stroke} stroke */
  stroke({ color, width = 1, dash = [], alpha = 1 }) {
    const context = this._context;
    context.globalAlpha = alpha;
    context.strokeStyle = color;
    context.lineWidth = width;
    context.lineJoin = "round";
    context.setLineDash(dash);
    context.stroke();
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  /** @param {Fill} fill */
  fill({ color, alpha = 1 }) {
    this._context.globalAlpha = alpha;
    this._context.fillStyle = color;
    this._context.fill();
    this._context.globalAlpha = 1;
  }

  /** @param {number} x @param {number} y @param {number} width @param {number} height @param {Fill} fill */
  box(x, y, width, height, { color, alpha = 1 }) {
    this._context.globalAlpha = alpha;
    this._context.fillStyle = color;
    this._context.fillRect(x, y, width, height);
    this._context.globalAlpha = 1;
  }

  /** @param {string} text @param {number} x @param {number} y @param {Face} face */
  word(text, x, y, { color, size, align = "start", baseline = "alphabetic", isUpright, most }) {
    const context = this._context;
    context.save();
    context.translate(x, y);
    if (isUpright) context.rotate(-Math.PI / 2);
    context.fillStyle = color;
    context.font = `${size}px ${FAMILY}`;
    context.textAlign = align === "middle" ? "center" : align;
    context.textBaseline = baseline;
    context.fillText(text, 0, 0, most);
    context.restore();
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {number} width
   * @param {number} height
   * @param {() => void} paint
   */
  within(x, y, width, height, paint) {
    this._context.save();
    this._context.beginPath();
    this._context.rect(x, y, width, height);
    this._context.clip();
    paint();
    this._context.restore();
  }

  /** @param {number} right @param {number} down @param {() => void} paint */
  moved(right, down, paint) {
    this._context.save();
    this._context.translate(right, down);
    paint();
    this._context.restore();
  }
}

/** @implements {Surface} */
export class SvgSurface {
  constructor() {
    /** @type {string[]} */
    this._parts = [];
    this._path = "";
    this._clips = 0;
  }

  /**
   * The file.
   * @param {number} width
   * @param {number} height
   * @returns {string}
   */
  text(width, height) {
    return [
      `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${FAMILY}">`,
      ...this._parts,
      "</svg>",
    ].join("\n");
  }

  begin() {
    this._path = "";
  }

  /** @param {number} x @param {number} y */
  move(x, y) {
    this._path += `M${round(x)} ${round(y)}`;
  }

  /** @param {number} x @param {number} y */
  draw(x, y) {
    this._path += `${this._path ? "L" : "M"}${round(x)} ${round(y)}`;
  }

  /** @param {number} x @param {number} y @param {number} radius */
  circle(x, y, radius) {
    const [r, across] = [round(radius), round(2 * radius)];
    this._path += `M${round(x - radius)} ${round(y)}a${r} ${r} 0 1 0 ${across} 0a${r} ${r} 0 1 0 ${-across} 0`;
  }

  close() {
    this._path += "Z";
  }

  /** @param {Stroke} stroke */
  stroke({ color, width = 1, dash = [], alpha = 1 }) {
    if (!this._path) return;
    const dashes = dash.length ? ` stroke-dasharray="${dash.join(" ")}"` : "";
    const clear = alpha < 1 ? ` stroke-opacity="${alpha}"` : "";
    this._parts.push(
      `<path d="${this._path}" fill="none" stroke="${escaped(color)}" stroke-width="${width}" stroke-linejoin="round"${dashes}${clear}/>`,
    );
  }

  /** @param {Fill} fill */
  fill({ color, alpha = 1 }) {
    if (this._path) this._parts.push(`<path d="${this._path}" ${filled(color, alpha)}/>`);
  }

  /** @param {number} x @param {number} y @param {number} width @param {number} height @param {Fill} fill */
  box(x, y, width, height, { color, alpha = 1 }) {
    this._parts.push(`<rect ${place(x, y, width, height)} ${filled(color, alpha)}/>`);
  }

  /** @param {string} text @param {number} x @param {number} y @param {Face} face */
  word(text, x, y, { color, size, align = "start", baseline = "alphabetic", isUpright, most }) {
    // Shifts of the baseline as shares of the size, since viewers differ in their own.
    const down = { top: 0.8, middle: 0.33, bottom: -0.22, alphabetic: 0 }[baseline] * size;
    const turn = isUpright ? ` transform="rotate(-90 ${round(x)} ${round(y)})"` : "";
    const isLong = most !== undefined && widthOf(text, size) > most;
    const squeeze = isLong ? ` textLength="${round(most)}" lengthAdjust="spacingAndGlyphs"` : "";
    this._parts.push(
      `<text x="${round(x)}" y="${round(y)}" dy="${round(down)}" font-size="${size}" text-anchor="${align}" fill="${escaped(color)}"${turn}${squeeze}>${escaped(text)}</text>`,
    );
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {number} width
   * @param {number} height
   * @param {() => void} paint
   */
  within(x, y, width, height, paint) {
    this._clips += 1;
    const name = `clip-${this._clips}`;
    this._parts.push(`<clipPath id="${name}"><rect ${place(x, y, width, height)}/></clipPath>`);
    this._parts.push(`<g clip-path="url(#${name})">`);
    paint();
    this._parts.push("</g>");
  }

  /** @param {number} right @param {number} down @param {() => void} paint */
  moved(right, down, paint) {
    this._parts.push(`<g transform="translate(${round(right)} ${round(down)})">`);
    paint();
    this._parts.push("</g>");
  }
}

/**
 * Width of a text in pixels, estimated, since a file is drawn without a screen.
 * @param {string} text
 * @param {number} size
 */
export function widthOf(text, size) {
  return text.length * size * CHARACTER;
}

/**
 * Text in lines of at most so many characters, broken between words.
 * @param {string} text
 * @param {number} most
 * @returns {string[]}
 */
export function linesOf(text, most) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const last = lines[lines.length - 1];
    if (last && last.length + 1 + word.length > most) lines.push(word);
    else lines[lines.length - 1] = last ? `${last} ${word}` : word;
  }
  return lines;
}

/**
 * Text in lines that fit into a length.
 * @param {string} text
 * @param {number} size
 * @param {number} length pixels
 */
export function fitting(text, size, length) {
  return linesOf(text, Math.max(12, Math.floor(length / (size * CHARACTER))));
}

/** @param {number} value */
function round(value) {
  return Number(value.toFixed(2));
}

/** @param {number} x @param {number} y @param {number} width @param {number} height */
function place(x, y, width, height) {
  return `x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}"`;
}

/** @param {string} color @param {number} alpha */
function filled(color, alpha) {
  return `fill="${escaped(color)}"${alpha < 1 ? ` fill-opacity="${alpha}"` : ""}`;
}

/** @param {string} text */
export function escaped(text) {
  return String(text)
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/>/g, "&gt;")
    .replace(/"/g, "&quot;");
}
