/** Polygon: click corners, drag any of them, click the first (or double click, or Enter) to close it into a mask. */

import { HAND_COLOUR } from "../render.js";
import { maskFromPolygon } from "../shapes.js";
import { toScreen } from "../viewport.js";

const GRAB_CSS_PX = 9;

/** `onClose(mask)` gets the pixels inside. */
export function createPolygonTool({ image, onClose, redraw, tell }) {
  let corners = [];
  let held = null; // index of the corner being dragged
  let moved = false;
  let at = null;

  const cornerAt = (event) =>
    corners.findIndex((corner) => {
      const reach = (GRAB_CSS_PX * event.unit) / event.view.scale;
      return Math.hypot(corner.x - event.point.x, corner.y - event.point.y) <= reach;
    });

  function close() {
    const mask = maskFromPolygon(corners, image());
    corners = [];
    if (mask.width) onClose(mask);
    else tell("A polygon needs three corners inside the picture.");
    redraw();
  }

  return {
    name: "polygon",
    cursor: "crosshair",
    get isOpen() {
      return corners.length > 0;
    },
    close,
    down(event) {
      held = cornerAt(event);
      moved = false;
      if (held < 0) held = corners.push(event.point) - 1;
      else if (held > 0) moved = true; // grabbing a corner adds none
      redraw();
    },
    move(event) {
      at = event.point;
      if (held !== null) {
        moved ||= distance(corners[held], at) > event.unit / event.view.scale;
        corners[held] = at;
      }
      redraw();
    },
    up() {
      const closes = held === 0 && !moved && corners.length >= 3;
      held = null;
      if (closes) close();
    },
    hover(event) {
      at = event.point;
      redraw();
    },
    doubleClick: () => corners.length >= 3 && close(),
    /** Backspace takes the last corner back; false when there is none. */
    undo() {
      const had = corners.length > 0;
      corners.pop();
      redraw();
      return had;
    },
    leave() {
      at = null;
      redraw();
    },
    cancel() {
      corners = [];
      held = null;
      redraw();
    },
    draw: (canvas) => drawCorners(canvas, corners, held === null ? at : null),
  };
}

const distance = (a, b) => Math.hypot(a.x - b.x, a.y - b.y);

function drawCorners({ context, view, unit }, corners, at) {
  if (!corners.length) return;
  context.setTransform(1, 0, 0, 1, 0, 0);
  const points = [...corners, ...(at ? [at] : [])].map((point) => toScreen(view, point));
  context.setLineDash([]);
  for (const [width, style] of [[4, "rgb(0 0 0 / 65%)"], [2, HAND_COLOUR]]) {
    context.beginPath();
    points.forEach(({ x, y }, i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.lineWidth = width * unit;
    context.strokeStyle = style;
    context.stroke();
  }
  corners.forEach((corner, i) => drawHandle(context, toScreen(view, corner), (i ? 4 : 6) * unit));
}

function drawHandle(context, { x, y }, half) {
  context.fillStyle = "#fff";
  context.strokeStyle = "#000";
  context.lineWidth = half / 3;
  context.fillRect(x - half, y - half, 2 * half, 2 * half);
  context.strokeRect(x - half, y - half, 2 * half, 2 * half);
}
