/** Brush: the stroke is a line while it is drawn; its pixels are counted once, when the pointer lifts. */

import { maskFromStroke } from "../../mask/shapes.js";
import { HAND_COLOUR } from "../render.js";
import { toScreen } from "../viewport.js";

const MIN_STEP = 0.25; // of the radius: closer points add nothing but work

/** `radius()` in image pixels; `onStroke(mask)` gets the pixels painted. */
export function createBrushTool({ image, radius, onStroke, redraw, name = "brush", colour = HAND_COLOUR }) {
  let points = null;
  let at = null;

  return {
    name,
    cursor: "none",
    down(event) {
      points = [event.point];
      at = event.point;
      redraw();
    },
    move(event) {
      at = event.point;
      const last = points?.at(-1);
      if (last && Math.hypot(at.x - last.x, at.y - last.y) >= radius() * MIN_STEP) points.push(at);
      redraw();
    },
    up(event) {
      if (points) onStroke(maskFromStroke([...points, event.point], radius(), image()));
      points = null;
      redraw();
    },
    hover(event) {
      at = event.point;
      redraw();
    },
    leave() {
      at = null;
      redraw();
    },
    cancel() {
      points = null;
      redraw();
    },
    draw(canvas) {
      if (points) drawStroke(canvas, points, radius(), colour);
      if (at) drawRing(canvas, at, radius());
    },
  };
}

function drawStroke({ context, view }, points, radius, colour) {
  context.setTransform(view.scale, 0, 0, view.scale, view.x, view.y);
  context.setLineDash([]);
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = 2 * radius;
  context.strokeStyle = colour;
  context.globalAlpha = 0.55;
  context.beginPath();
  context.moveTo(points[0].x, points[0].y);
  for (const point of points) context.lineTo(point.x, point.y);
  context.stroke();
  context.globalAlpha = 1;
}

function drawRing({ context, view, unit }, point, radius) {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.setLineDash([]);
  const { x, y } = toScreen(view, point);
  const strokes = /** @type {[number, string][]} */ ([
    [3, "rgb(0 0 0 / 65%)"],
    [1.5, "#fff"],
  ]);
  for (const [width, style] of strokes) {
    context.beginPath();
    context.arc(x, y, Math.max(radius * view.scale, unit), 0, 2 * Math.PI);
    context.lineWidth = width * unit;
    context.strokeStyle = style;
    context.stroke();
  }
}
