/**
 * One view matrix for all canvases: screen = image * scale + (x, y). "Screen" is device pixels of the canvas,
 * "image" is original-image pixels, pixel (i, j) covering [i, i+1) x [j, j+1). A view is a plain frozen value.
 */

/** @import { Box, Point, Size } from "../mask/rle.js" */
/** @typedef {Readonly<{scale: number, x: number, y: number}>} View */

export const MAX_SCALE = 64;
const KEEP_VISIBLE = 0.25; // of the screen: the picture can't be pushed out of sight

export const viewOf = (scale, x, y) => Object.freeze({ scale, x, y });

export const toImage = (view, point) => ({ x: (point.x - view.x) / view.scale, y: (point.y - view.y) / view.scale });

export const toScreen = (view, point) => ({ x: point.x * view.scale + view.x, y: point.y * view.scale + view.y });

/** The whole image, centred, as large as it goes. */
export function fitView(image, screen, margin = 16) {
  return boxView({ x: 0, y: 0, width: image.width, height: image.height }, screen, margin);
}

/** The box, centred, with `margin` screen pixels around it. */
export function boxView(box, screen, margin) {
  const scale = Math.min(
    MAX_SCALE,
    Math.max(screen.width - 2 * margin, 1) / Math.max(box.width, 1),
    Math.max(screen.height - 2 * margin, 1) / Math.max(box.height, 1),
  );
  return centredOn({ x: box.x + box.width / 2, y: box.y + box.height / 2 }, scale, screen);
}

export function centredOn(imagePoint, scale, screen) {
  return viewOf(scale, screen.width / 2 - imagePoint.x * scale, screen.height / 2 - imagePoint.y * scale);
}

/** One image pixel on one device pixel, keeping the screen's middle. */
export function oneToOne(view, screen) {
  return centredOn(toImage(view, { x: screen.width / 2, y: screen.height / 2 }), 1, screen);
}

/** Zoom so that the image point under `screenPoint` stays there. */
export function zoomAbout(view, screenPoint, factor, image, screen) {
  const smallest = Math.min(fitView(image, screen).scale, 1) / 2;
  const scale = Math.min(MAX_SCALE, Math.max(smallest, view.scale * factor));
  const fixed = toImage(view, screenPoint);
  return viewOf(scale, screenPoint.x - fixed.x * scale, screenPoint.y - fixed.y * scale);
}

export const panBy = (view, dx, dy) => viewOf(view.scale, view.x + dx, view.y + dy);

/** The nearest view that keeps a quarter of the screen, or the whole small image, in sight. */
export function clampView(view, image, screen) {
  const along = (offset, imageLength, screenLength) => {
    const keep = Math.min(imageLength * view.scale, screenLength * KEEP_VISIBLE);
    return Math.min(Math.max(offset, keep - imageLength * view.scale), screenLength - keep);
  };
  return viewOf(view.scale, along(view.x, image.width, screen.width), along(view.y, image.height, screen.height));
}

/** What part of the image the screen shows, as {x, y, width, height} in image pixels. */
export function visibleBox(view, screen) {
  const corner = toImage(view, { x: 0, y: 0 });
  return { ...corner, width: screen.width / view.scale, height: screen.height / view.scale };
}

export function boxesTouch(a, b) {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}
