// A picture with masks on it, drawn as at the desk.
import { maskFromWire } from "../../annotator/js/mask/rle.js";
import { drawMask } from "../../annotator/js/stage/mask-layer.js";
import { lookOf } from "./mask-looks.js";

/** The picture as wide as the canvas is shown, at the screen's own resolution, with masks = [{mask, look}] on it. */
export function drawPicture(canvas, image, { width: imageWidth, height }, masks) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  const scale = width / imageWidth;
  canvas.width = width;
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = true;
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  context.setTransform(scale, 0, 0, scale, 0, 0);
  for (const { mask, look } of masks) drawMask(context, mask, look, ratio / scale);
}

/** Masks as drawPicture takes them, of [{kind, mask}] as a page tells them. */
export const masksFrom = (told) => told.map(({ kind, mask }) => ({ look: lookOf(kind), mask: maskFromWire(mask) }));

/** The picture of the canvas with the masks, drawn again when its place changes; `size`: the image's own. */
export async function keepPicture(canvas, size, told) {
  const masks = masksFrom(told);
  const image = await pictureFrom(canvas.dataset.image);
  const redraw = () => drawPicture(canvas, image, size, masks);
  redraw();
  new ResizeObserver(redraw).observe(canvas.parentElement);
}

/** The decoded picture behind an address. */
export async function pictureFrom(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}
