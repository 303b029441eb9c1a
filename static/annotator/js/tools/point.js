/** Left click adds, right click or Shift takes away, a drag is a box. */

import { createBoxDrag } from "./box.js";

/** `onPoint({x, y, label})`, `onBox(box)`, `onHover(point | null)`; points are image pixels, to a tenth. */
export function createPointTool({ image, onPoint, onBox, onHover, redraw }) {
  const drag = createBoxDrag();
  let pressed = null;

  return {
    name: "point",
    cursor: "crosshair",
    down(event) {
      pressed = { label: event.button === 2 || event.shift ? 0 : 1 };
      if (pressed.label === 1) drag.begin(event);
      onHover(null);
    },
    move(event) {
      if (drag.move(event)) redraw();
    },
    up(event) {
      const box = drag.finish(image());
      if (box) onBox(box);
      else if (pressed && isInside(event.point, image())) onPoint({ ...rounded(event.point), label: pressed.label });
      pressed = null;
      redraw();
    },
    hover(event) {
      onHover(isInside(event.point, image()) ? { ...rounded(event.point), label: 1 } : null);
    },
    leave: () => onHover(null),
    cancel() {
      pressed = null;
      drag.cancel();
      redraw();
    },
    draw: (canvas) => drag.draw(canvas),
  };
}

export const isInside = ({ x, y }, { width, height }) => x >= 0 && y >= 0 && x < width && y < height;

/** Rounded down, so that the pixel it lies in stays the same. */
const rounded = ({ x, y }) => ({ x: Math.floor(x * 10) / 10, y: Math.floor(y * 10) / 10 });
