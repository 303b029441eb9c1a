// Masks drawn on a picture: outlines that stay visible on any ground, apart by dash as well as by colour.
import { outlineLoops } from "../../annotator/js/outline.js";
import { maskFromWire } from "../../annotator/js/rle.js";

export const loopsOf = (wire) => outlineLoops(maskFromWire(wire));

function trace(context, loops, scale) {
  context.beginPath();
  for (const [x, y, ...rest] of loops) {
    context.moveTo(x * scale, y * scale);
    for (let at = 0; at < rest.length; at += 2) context.lineTo(rest[at] * scale, rest[at + 1] * scale);
    context.closePath();
  }
}

/** One mask: `look` = {colour, dash, width, fill}; widths and dashes in screen pixels, `ratio` device pixels each. */
function drawMask(context, { loops, look }, scale, ratio) {
  trace(context, loops, scale);
  if (look.fill) {
    context.globalAlpha = look.fill;
    context.fillStyle = look.colour;
    context.fill("evenodd");
    context.globalAlpha = 1;
  }
  // A dark line under the coloured one keeps it visible on any picture.
  for (const [style, extra] of [["rgb(0 0 0 / 60%)", 2], [look.colour, 0]]) {
    context.strokeStyle = style;
    context.lineWidth = (look.width + extra) * ratio;
    context.setLineDash(extra ? [] : look.dash.map((length) => length * ratio));
    context.stroke();
  }
}

/** The picture as wide as the canvas is shown, at the screen's own resolution, with masks = [{loops, look}] on it. */
export function drawPicture(canvas, image, { width: imageWidth, height }, masks) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  const scale = width / imageWidth;
  canvas.width = width;
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = true;
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  for (const mask of masks) drawMask(context, mask, scale, ratio);
}

/** The decoded picture behind an address. */
export async function pictureFrom(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}
