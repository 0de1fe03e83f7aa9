/** Shapes on a canvas, or as the text of an SVG file. */

const FAMILY = "system-ui, -apple-system, 'Segoe UI', sans-serif";

/**
 * Paint shapes.
 * @param {CanvasRenderingContext2D} context
 * @param {import("./space.js").Shape[]} shapes
 */
export function paint(context, shapes) {
  for (const shape of shapes) {
    context.fillStyle = shape.color;
    context.strokeStyle = shape.color;
    if (shape.kind === "line") {
      context.lineWidth = shape.width;
      context.setLineDash(shape.dash);
      context.beginPath();
      let isDrawing = false;
      for (const [x, y] of shape.points) {
        const isDefined = Number.isFinite(x + y);
        if (isDefined && isDrawing) context.lineTo(x, y);
        else if (isDefined) context.moveTo(x, y);
        isDrawing = isDefined;
      }
      context.stroke();
    } else if (shape.kind === "point") {
      context.beginPath();
      context.arc(shape.x, shape.y, shape.radius, 0, 2 * Math.PI);
      context.fill();
    } else {
      context.font = `${shape.size}px ${FAMILY}`;
      context.textAlign = shape.anchor === "middle" ? "center" : shape.anchor;
      context.fillText(shape.text, shape.x, shape.y);
    }
  }
}

/**
 * SVG file of shapes.
 * @param {import("./space.js").Shape[]} shapes
 * @param {number} width
 * @param {number} height
 * @param {string} background
 * @returns {string}
 */
export function svgOf(shapes, width, height, background) {
  const parts = shapes.map((shape) => {
    if (shape.kind === "line") {
      const points = shape.points.filter(([x, y]) => Number.isFinite(x + y));
      const text = points.map(([x, y]) => `${round(x)},${round(y)}`).join(" ");
      const dash = shape.dash.length ? ` stroke-dasharray="${shape.dash.join(" ")}"` : "";
      return `<polyline points="${text}" fill="none" stroke="${escaped(shape.color)}" stroke-width="${shape.width}"${dash}/>`;
    }
    if (shape.kind === "point") {
      return `<circle cx="${round(shape.x)}" cy="${round(shape.y)}" r="${round(shape.radius)}" fill="${escaped(shape.color)}"/>`;
    }
    return `<text x="${round(shape.x)}" y="${round(shape.y)}" font-size="${shape.size}" text-anchor="${shape.anchor}" fill="${escaped(shape.color)}">${escaped(shape.text)}</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${FAMILY}">`,
    `<rect width="${width}" height="${height}" fill="${background}"/>`,
    ...parts,
    "</svg>",
  ].join("\n");
}

/** @param {number} value */
function round(value) {
  return Number(value.toFixed(2));
}

/** @param {string} text */
export function escaped(text) {
  return String(text)
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/>/g, "&gt;")
    .replace(/"/g, "&quot;");
}
