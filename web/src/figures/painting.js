/** Shapes of a figure in space, drawn on a surface. */

/**
 * Paint shapes in their order.
 * @param {import("./surface.js").Surface} surface
 * @param {import("./space.js").Shape[]} shapes
 */
export function paint(surface, shapes) {
  for (const shape of shapes) {
    if (shape.kind === "line") {
      surface.begin();
      let isDrawing = false;
      for (const [x, y] of shape.points) {
        const isDefined = Number.isFinite(x + y);
        if (isDefined && isDrawing) surface.draw(x, y);
        else if (isDefined) surface.move(x, y);
        isDrawing = isDefined;
      }
      surface.stroke(shape);
    } else if (shape.kind === "point") {
      surface.begin();
      surface.circle(shape.x, shape.y, shape.radius);
      surface.fill({ color: shape.color });
    } else {
      const { text, x, y, color, size, anchor } = shape;
      surface.word(text, x, y, { color, size, align: anchor });
    }
  }
}
