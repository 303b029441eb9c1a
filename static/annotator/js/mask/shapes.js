/** Shapes drawn by hand -> masks. A pixel belongs to a shape when its centre does. */

import { EMPTY_MASK, blankMask, trimMask } from "./masks.js";

/** The pixels within `radius` of the line through `points`, inside the image. */
export function maskFromStroke(points, radius, image) {
  if (!points.length) return EMPTY_MASK;
  const mask = blankMask(boundsOf(points, radius, image));
  for (const [i, point] of points.entries()) paintCapsule(mask, points[Math.max(0, i - 1)], point, radius);
  return trimMask(mask);
}

/** The pixels inside a closed polygon, even-odd, inside the image. */
export function maskFromPolygon(points, image) {
  if (points.length < 3) return EMPTY_MASK;
  const mask = blankMask(boundsOf(points, 0, image));
  for (let row = 0; row < mask.height; row++) {
    const crossings = crossingsAt(points, mask.y + row + 0.5);
    for (let i = 0; i + 1 < crossings.length; i += 2) fillRow(mask, row, crossings[i], crossings[i + 1]);
  }
  return trimMask(mask);
}

function boundsOf(points, margin, image) {
  const xs = points.map((point) => point.x);
  const ys = points.map((point) => point.y);
  const x = clamp(Math.floor(Math.min(...xs) - margin), 0, image.width);
  const y = clamp(Math.floor(Math.min(...ys) - margin), 0, image.height);
  const right = clamp(Math.ceil(Math.max(...xs) + margin), x, image.width);
  const bottom = clamp(Math.ceil(Math.max(...ys) + margin), y, image.height);
  return { x, y, width: right - x, height: bottom - y };
}

function paintCapsule(mask, from, to, radius) {
  const top = clamp(Math.floor(Math.min(from.y, to.y) - radius) - mask.y, 0, mask.height);
  const bottom = clamp(Math.ceil(Math.max(from.y, to.y) + radius) - mask.y, 0, mask.height);
  const left = clamp(Math.floor(Math.min(from.x, to.x) - radius) - mask.x, 0, mask.width);
  const right = clamp(Math.ceil(Math.max(from.x, to.x) + radius) - mask.x, 0, mask.width);
  for (let row = top; row < bottom; row++) {
    for (let column = left; column < right; column++) {
      const centre = { x: mask.x + column + 0.5, y: mask.y + row + 0.5 };
      if (distanceSquared(centre, from, to) <= radius * radius) mask.bits[row * mask.width + column] = 1;
    }
  }
}

function distanceSquared(point, from, to) {
  const dx = to.x - from.x;
  const dy = to.y - from.y;
  const length = dx * dx + dy * dy;
  const t = length ? clamp(((point.x - from.x) * dx + (point.y - from.y) * dy) / length, 0, 1) : 0;
  return (point.x - from.x - t * dx) ** 2 + (point.y - from.y - t * dy) ** 2;
}

function crossingsAt(points, y) {
  const xs = [];
  points.forEach((a, i) => {
    const b = points[(i + 1) % points.length];
    if (a.y <= y !== b.y <= y) xs.push(a.x + ((y - a.y) * (b.x - a.x)) / (b.y - a.y));
  });
  return xs.sort((a, b) => a - b);
}

function fillRow(mask, row, from, to) {
  const first = clamp(Math.ceil(from - 0.5) - mask.x, 0, mask.width);
  const end = clamp(Math.ceil(to - 0.5) - mask.x, 0, mask.width);
  mask.bits.fill(1, row * mask.width + first, row * mask.width + end);
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
