/** Algebra of cropped masks. Every function leaves its arguments alone, so that undo may keep old ones. */

import { EMPTY_MASK } from "./rle.js";

export { EMPTY_MASK };

const SIDES = [
  [1, 0],
  [-1, 0],
  [0, 1],
  [0, -1],
];

export const isEmpty = (mask) => !mask || mask.width === 0 || mask.height === 0;

export function maskContains(mask, { x, y }) {
  if (isEmpty(mask)) return false;
  const column = Math.floor(x) - mask.x;
  const row = Math.floor(y) - mask.y;
  if (column < 0 || row < 0 || column >= mask.width || row >= mask.height) return false;
  return mask.bits[row * mask.width + column] === 1;
}

export function maskArea(mask) {
  let area = 0;
  for (let i = 0; i < mask.bits.length; i++) area += mask.bits[i];
  return area;
}

/** Both masks together. */
export function maskUnion(first, second) {
  if (isEmpty(first)) return second ?? EMPTY_MASK;
  if (isEmpty(second)) return first;
  const whole = blankMask(hull(first, second));
  stampBits(whole, first, 1);
  stampBits(whole, second, 1);
  return whole;
}

/** What of `first` is not in `second`, cropped to what is left. */
export function maskSubtract(first, second) {
  if (isEmpty(first) || isEmpty(second)) return first ?? EMPTY_MASK;
  const left = { ...first, bits: first.bits.slice() };
  stampBits(left, second, 0);
  return trimMask(left);
}

export function maskIntersectionArea(first, second) {
  const box = overlap(first, second);
  if (!box) return 0;
  let area = 0;
  for (let y = box.y; y < box.y + box.height; y++) {
    let a = (y - first.y) * first.width + box.x - first.x;
    let b = (y - second.y) * second.width + box.x - second.x;
    for (let n = box.width; n > 0; n--) area += first.bits[a++] & second.bits[b++];
  }
  return area;
}

/** Intersection over union; two empty masks have 0. */
export function maskIou(first, second) {
  const shared = maskIntersectionArea(first, second);
  const either = maskArea(first) + maskArea(second) - shared;
  return either ? shared / either : 0;
}

/** Holes without a way to the crop's edge become part of the mask. */
export function maskFillHoles(mask) {
  if (isEmpty(mask)) return mask;
  const outside = floodOutside(mask);
  const bits = mask.bits.map((bit, i) => (bit || !outside[i] ? 1 : 0));
  return { ...mask, bits };
}

/** The 4-connected parts of a mask, largest first. */
export function maskParts(mask) {
  const seen = new Uint8Array(mask.bits.length);
  const parts = [];
  for (let start = 0; start < mask.bits.length; start++) {
    if (!mask.bits[start] || seen[start]) continue;
    const bits = new Uint8Array(mask.bits.length);
    flood(
      mask,
      [start],
      seen,
      (at) => mask.bits[at] === 1,
      (at) => (bits[at] = 1),
    );
    parts.push(trimMask({ ...mask, bits }));
  }
  return parts.sort((a, b) => maskArea(b) - maskArea(a));
}

/** One pixel wider to each of the four sides, inside the image. */
export function maskGrow(mask, image) {
  if (isEmpty(mask)) return mask;
  const grown = blankMask(withMargin(mask, image));
  for (const [dx, dy] of [[0, 0], ...SIDES]) stampBits(grown, { ...mask, x: mask.x + dx, y: mask.y + dy }, 1);
  return trimMask(grown);
}

/** One pixel narrower; where the mask ends at the image's edge, the object goes on and nothing is taken off. */
export function maskShrink(mask, image) {
  if (isEmpty(mask)) return mask;
  const outside = blankMask(withMargin(mask, image));
  outside.bits.fill(1);
  stampBits(outside, mask, 0);
  const left = { ...mask, bits: mask.bits.slice() };
  for (const [dx, dy] of SIDES) stampBits(left, { ...outside, x: outside.x + dx, y: outside.y + dy }, 0);
  return trimMask(left);
}

function withMargin(mask, image) {
  const x = Math.max(0, mask.x - 1);
  const y = Math.max(0, mask.y - 1);
  const width = Math.min(image.width, mask.x + mask.width + 1) - x;
  return { x, y, width, height: Math.min(image.height, mask.y + mask.height + 1) - y };
}

/** Cut away empty rows and columns. */
export function trimMask(mask) {
  let [left, top, right, bottom] = [mask.width, mask.height, -1, -1];
  for (let y = 0, at = 0; y < mask.height; y++) {
    for (let x = 0; x < mask.width; x++, at++) {
      if (!mask.bits[at]) continue;
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < top) top = y;
      bottom = y;
    }
  }
  return right < 0 ? EMPTY_MASK : cropMask(mask, left, top, right - left + 1, bottom - top + 1);
}

export function blankMask({ x, y, width, height }) {
  return { x, y, width, height, bits: new Uint8Array(width * height) };
}

function cropMask(mask, left, top, width, height) {
  const part = blankMask({ x: mask.x + left, y: mask.y + top, width, height });
  for (let row = 0; row < height; row++) {
    const start = (top + row) * mask.width + left;
    part.bits.set(mask.bits.subarray(start, start + width), row * width);
  }
  return part;
}

/** Write `value` into `target` wherever `stamp` is set; `target` changes in place. */
function stampBits(target, stamp, value) {
  const box = overlap(target, stamp);
  if (!box) return;
  for (let y = box.y; y < box.y + box.height; y++) {
    let to = (y - target.y) * target.width + box.x - target.x;
    let from = (y - stamp.y) * stamp.width + box.x - stamp.x;
    for (let n = box.width; n > 0; n--, to++) {
      if (stamp.bits[from++]) target.bits[to] = value;
    }
  }
}

function hull(a, b) {
  const x = Math.min(a.x, b.x);
  const y = Math.min(a.y, b.y);
  const width = Math.max(a.x + a.width, b.x + b.width) - x;
  return { x, y, width, height: Math.max(a.y + a.height, b.y + b.height) - y };
}

function overlap(a, b) {
  const x = Math.max(a.x, b.x);
  const y = Math.max(a.y, b.y);
  const width = Math.min(a.x + a.width, b.x + b.width) - x;
  const height = Math.min(a.y + a.height, b.y + b.height) - y;
  return width > 0 && height > 0 ? { x, y, width, height } : null;
}

function floodOutside(mask) {
  const { width, height, bits } = mask;
  const outside = new Uint8Array(bits.length);
  const edge = [];
  for (let x = 0; x < width; x++) edge.push(x, (height - 1) * width + x);
  for (let y = 0; y < height; y++) edge.push(y * width, y * width + width - 1);
  flood(
    mask,
    edge.filter((at) => !bits[at]),
    outside,
    (at) => bits[at] === 0,
    () => {},
  );
  return outside;
}

function flood({ width, bits }, stack, seen, isIn, visit) {
  while (stack.length) {
    const at = stack.pop();
    if (seen[at] || !isIn(at)) continue;
    seen[at] = 1;
    visit(at);
    const column = at % width;
    if (column > 0) stack.push(at - 1);
    if (column < width - 1) stack.push(at + 1);
    if (at >= width) stack.push(at - width);
    if (at + width < bits.length) stack.push(at + width);
  }
}
