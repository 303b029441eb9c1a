/** Polygon: click corners, drag any of them, click the first (or double click, or Enter) to close it into a mask. */

import { HAND_COLOUR } from "../render.js";
import { maskFromPolygon } from "../../mask/shapes.js";
import { toScreen } from "../viewport.js";

const GRAB_CSS_PX = 9;

export class PolygonTool {
  name = "polygon";
  cursor = "crosshair";
  #parts;
  #corners = [];
  #held = null; // index of the corner being dragged
  #isDragged = false;
  #at = null; // where the pointer is, for the line to it

  /** `parts`: image(), onClose(mask) with the pixels inside, redraw(), tell(sentence). */
  constructor(parts) {
    this.#parts = parts;
  }

  get isOpen() {
    return this.#corners.length > 0;
  }

  close() {
    const mask = maskFromPolygon(this.#corners, this.#parts.image());
    this.#corners = [];
    if (mask.width) this.#parts.onClose(mask);
    else this.#parts.tell("A polygon needs three corners inside the picture.");
    this.#parts.redraw();
  }

  /** Take the last corner back; false when there is none. */
  undo() {
    if (!this.isOpen) return false;
    this.#corners.pop();
    this.#parts.redraw();
    return true;
  }

  down(event) {
    const grabbed = this.#cornerAt(event);
    this.#held = grabbed >= 0 ? grabbed : this.#corners.push(event.point) - 1;
    this.#isDragged = false;
    this.#parts.redraw();
  }

  move(event) {
    this.#at = event.point;
    if (this.#held !== null) {
      const isFar = distance(this.#corners[this.#held], event.point) > event.unit / event.view.scale;
      this.#isDragged ||= isFar;
      if (this.#isDragged) this.#corners[this.#held] = event.point;
    }
    this.#parts.redraw();
  }

  up() {
    const closes = this.#held === 0 && !this.#isDragged && this.#corners.length >= 3;
    this.#held = null;
    if (closes) this.close();
  }

  hover(event) {
    this.#at = event.point;
    this.#parts.redraw();
  }

  leave() {
    this.#at = null;
    this.#parts.redraw();
  }

  doubleClick() {
    if (this.#corners.length >= 3) this.close();
  }

  cancel() {
    this.#corners = [];
    this.#held = null;
    this.#parts.redraw();
  }

  draw({ context, view, unit }) {
    if (!this.isOpen) return;
    context.setTransform(1, 0, 0, 1, 0, 0);
    const ahead = this.#at && this.#held === null ? [this.#at] : [];
    drawLine(
      context,
      [...this.#corners, ...ahead].map((point) => toScreen(view, point)),
      unit,
    );
    for (const [i, corner] of this.#corners.entries()) {
      drawHandle(context, toScreen(view, corner), (i ? 4 : 6) * unit);
    }
  }

  #cornerAt({ point, unit, view }) {
    const reach = (GRAB_CSS_PX * unit) / view.scale;
    return this.#corners.findIndex((corner) => distance(corner, point) <= reach);
  }
}

const distance = (a, b) => Math.hypot(a.x - b.x, a.y - b.y);

function drawLine(context, points, unit) {
  context.setLineDash([]);
  const strokes = /** @type {[number, string][]} */ ([
    [4, "rgb(0 0 0 / 65%)"],
    [2, HAND_COLOUR],
  ]);
  for (const [width, style] of strokes) {
    context.beginPath();
    for (const { x, y } of points) context.lineTo(x, y); // the first only moves: the path is empty
    context.lineWidth = width * unit;
    context.strokeStyle = style;
    context.stroke();
  }
}

function drawHandle(context, { x, y }, half) {
  context.fillStyle = "#fff";
  context.strokeStyle = "#000";
  context.lineWidth = half / 3;
  context.fillRect(x - half, y - half, 2 * half, 2 * half);
  context.strokeRect(x - half, y - half, 2 * half, 2 * half);
}
