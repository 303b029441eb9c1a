/** Dragging a box: part of the point tool, so that nobody changes tools for it. */

import { frame } from "../render.js";
import { toScreen } from "../viewport.js";

const DRAG_FROM_CSS_PX = 5;

export function createBoxDrag() {
  let start = null;
  let end = null;
  return {
    begin(event) {
      start = event;
      end = null;
    },
    move(event) {
      if (!start) return false;
      const far = Math.hypot(event.screen.x - start.screen.x, event.screen.y - start.screen.y);
      if (end || far >= DRAG_FROM_CSS_PX * event.unit) end = event;
      return end !== null;
    },
    /** [x0, y0, x1, y1] inside the image where it was a drag, else null. */
    finish(image) {
      const box = start && end ? boxBetween(start.point, end.point, image) : null;
      this.cancel();
      return box;
    },
    cancel() {
      start = null;
      end = null;
    },
    draw({ context, view, unit }) {
      if (!start || !end) return;
      context.setTransform(1, 0, 0, 1, 0, 0);
      const from = toScreen(view, start.point);
      const to = toScreen(view, end.point);
      frame(context, from.x, from.y, to.x - from.x, to.y - from.y, unit);
    },
  };
}

export function boxBetween(a, b, { width, height }) {
  const inside = (value, limit) => Math.round(Math.min(Math.max(value, 0), limit) * 10) / 10;
  const [x0, x1] = [a.x, b.x].sort((p, q) => p - q).map((value) => inside(value, width));
  const [y0, y1] = [a.y, b.y].sort((p, q) => p - q).map((value) => inside(value, height));
  return x1 > x0 && y1 > y0 ? [x0, y0, x1, y1] : null;
}
