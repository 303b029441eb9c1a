/** Left click adds, right click, Shift or a long touch takes away, a drag is a box. */

import { createBoxDrag } from "./box.js";

const LONG_TOUCH_MS = 450; // a finger has no right button

/** `onPoint({x, y, label})`, `onBox(box)`, `onHover(point | null)`; points are image pixels, to a tenth. */
export function createPointTool({ image, onPoint, onBox, onHover, redraw, tell }) {
  const drag = createBoxDrag();
  let pressed = null;
  let longTouch = null;

  function takeAway() {
    pressed = { label: 0 };
    drag.cancel();
    tell("Lift the finger to take this place away.");
  }

  function letGo() {
    clearTimeout(longTouch);
    pressed = null;
  }

  return {
    name: "point",
    cursor: "crosshair",
    down(event) {
      pressed = { label: event.button === 2 || event.shift ? 0 : 1 };
      if (pressed.label === 1) drag.begin(event);
      if (event.kind === "touch") longTouch = setTimeout(takeAway, LONG_TOUCH_MS);
      onHover(null);
    },
    move(event) {
      if (!drag.move(event)) return;
      clearTimeout(longTouch);
      redraw();
    },
    up(event) {
      const box = drag.finish(image());
      if (box) onBox(box);
      else if (pressed && isInside(event.point, image())) onPoint({ ...rounded(event.point), label: pressed.label });
      letGo();
      redraw();
    },
    hover(event) {
      onHover(isInside(event.point, image()) ? { ...rounded(event.point), label: 1 } : null);
    },
    leave: () => onHover(null),
    cancel() {
      letGo();
      drag.cancel();
      redraw();
    },
    draw: (canvas) => drag.draw(canvas),
  };
}

export const isInside = ({ x, y }, { width, height }) => x >= 0 && y >= 0 && x < width && y < height;

/** Rounded down, so that the pixel it lies in stays the same. */
const rounded = ({ x, y }) => ({ x: Math.floor(x * 10) / 10, y: Math.floor(y * 10) / 10 });
