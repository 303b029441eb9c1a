/** Pinning a comment to a place. */

import { isInside } from "./point.js";

export function createPinTool({ image, onPin }) {
  return {
    name: "pin",
    cursor: "crosshair",
    up(event) {
      if (isInside(event.point, image()))
        onPin({ x: Math.round(event.point.x * 10) / 10, y: Math.round(event.point.y * 10) / 10 });
    },
  };
}
