/**
 * Masks on a canvas. Each mask's border is followed once into a Path2D that serves for fill and outline at any zoom;
 * it goes when the mask goes (docs/decisions/0006-masks-as-paths.md).
 */

import { isEmpty } from "../mask/masks.js";
import { outlineLoops } from "../mask/outline.js";
import { boxesTouch, visibleBox } from "./viewport.js";

export const HALO = Object.freeze({ dark: "rgb(0 0 0 / 80%)", light: "rgb(255 255 255 / 70%)" });
const paths = new WeakMap();

export function maskPath(mask) {
  let path = paths.get(mask);
  if (!path) {
    path = pathOfLoops(outlineLoops(mask));
    paths.set(mask, path);
  }
  return path;
}

function pathOfLoops(loops) {
  const path = new Path2D();
  for (const loop of loops) {
    path.moveTo(loop[0], loop[1]);
    for (let i = 2; i < loop.length; i += 2) path.lineTo(loop[i], loop[i + 1]);
    path.closePath();
  }
  return path;
}

/**
 * Fill and outline one mask. `look` = {colour, fill (alpha), width (css px), dash, isDimmed}. The canvas must have the
 * view's matrix set. Every outline has a dark and within it a light halo: whatever the ground, one of the two stands
 * out from it, also where the colour itself does not.
 */
export function drawMask(context, mask, look, unit) {
  if (isEmpty(mask)) return;
  const path = maskPath(mask);
  if (look.fill) {
    context.globalAlpha = look.fill;
    context.fillStyle = look.pattern ?? look.colour;
    context.fill(path, "evenodd");
    context.globalAlpha = 1;
  }
  context.lineJoin = "miter"; // the borders' corners are right angles, and rounding them costs as much as a stroke more
  stroke(context, path, HALO.dark, (look.width + (look.isDimmed ? 1.5 : 3)) * unit, []);
  if (!look.isDimmed) stroke(context, path, HALO.light, (look.width + (look.dash ? 0 : 1.25)) * unit, []);
  stroke(
    context,
    path,
    look.colour,
    look.width * unit,
    (look.dash ?? []).map((length) => length * unit),
  );
}

function stroke(context, path, style, width, dash) {
  context.strokeStyle = style;
  context.lineWidth = width;
  context.setLineDash(dash);
  context.stroke(path);
}

/** Whether any of the mask's crop is on the screen. */
export const maskIsVisible = (mask, view, screen) => !isEmpty(mask) && boxesTouch(mask, visibleBox(view, screen));
