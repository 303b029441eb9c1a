/**
 * COCO run lengths as the wire has them: compressed strings of a crop, column-major, background first.
 * In memory a mask is {x, y, width, height, bits}: a row-major Uint8Array of 0 and 1 at (x, y) of the image.
 */

/** @typedef {{x: number, y: number, width: number, height: number, bits: Uint8Array}} Mask */
/** @typedef {{size: number[], crop_xywh: number[], counts: string}} WireMask */
/** @typedef {{width: number, height: number}} Size */
/** @typedef {{x: number, y: number}} Point */
/** @typedef {{x: number, y: number, width: number, height: number}} Box */

const OFFSET = 48; // the codec's alphabet starts at "0"
const MAX_GROUPS = 6; // 30 bits: no image has more pixels, and JS shifts wrap at 32

export class MaskError extends Error {}

/** @type {Readonly<Mask>} */
export const EMPTY_MASK = Object.freeze({ x: 0, y: 0, width: 0, height: 0, bits: new Uint8Array(0) });

/** "compressed string" -> run lengths. Deltas against the run two before, five bits a character. */
export function countsFromString(text) {
  const counts = [];
  for (let at = 0; at < text.length; ) {
    const { value, next } = readNumber(text, at);
    const run = counts.length > 2 ? value + counts[counts.length - 2] : value;
    if (run < 0) throw new MaskError("A mask has a run of negative length; ask for it again.");
    counts.push(run);
    at = next;
  }
  return counts;
}

function readNumber(text, start) {
  let value = 0;
  for (let group = 0; group < MAX_GROUPS; group++) {
    const code = text.charCodeAt(start + group) - OFFSET;
    if (!(code >= 0 && code < 64)) throw new MaskError("A mask's run lengths are cut off or garbled.");
    value |= (code & 0x1f) << (5 * group);
    if (code & 0x20) continue;
    if (code & 0x10) value |= -1 << (5 * (group + 1));
    return { value, next: start + group + 1 };
  }
  throw new MaskError("A mask has a run longer than any image.");
}

export function stringFromCounts(counts) {
  let text = "";
  for (let i = 0; i < counts.length; i++) {
    text += writeNumber(i > 2 ? counts[i] - counts[i - 2] : counts[i]);
  }
  return text;
}

function writeNumber(number) {
  let text = "";
  let value = number;
  for (;;) {
    const low = value & 0x1f;
    value >>= 5;
    const isLast = low & 0x10 ? value === -1 : value === 0;
    text += String.fromCharCode((isLast ? low : low | 0x20) + OFFSET);
    if (isLast) return text;
  }
}

/** Run lengths -> row-major bits. */
export function bitsFromCounts(counts, width, height) {
  const bits = new Uint8Array(width * height);
  let at = 0;
  counts.forEach((run, i) => {
    const end = at + run;
    if (end > bits.length) throw new MaskError("A mask's run lengths do not fit its crop.");
    if (i % 2) fillColumns(bits, width, height, at, end);
    at = end;
  });
  if (at !== bits.length) throw new MaskError("A mask's run lengths do not fill its crop.");
  return bits;
}

function fillColumns(bits, width, height, start, end) {
  let row = start % height;
  let column = (start - row) / height;
  for (let at = start; at < end; at++) {
    bits[row * width + column] = 1;
    if (++row === height) {
      row = 0;
      column++;
    }
  }
}

/** Row-major bits -> run lengths. */
export function countsFromBits(bits, width, height) {
  const counts = [];
  let previous = 0;
  let run = 0;
  for (let column = 0; column < width; column++) {
    for (let at = column; at < width * height; at += width) {
      if (bits[at] !== previous) {
        counts.push(run);
        run = 0;
        previous = bits[at];
      }
      run++;
    }
  }
  counts.push(run);
  return counts;
}

/** {size: [H, W], crop_xywh, counts} -> mask; MaskError where it does not fit its image. */
export function maskFromWire(wire) {
  const [imageHeight, imageWidth] = wire.size;
  const [x, y, width, height] = wire.crop_xywh;
  if (!width || !height) return EMPTY_MASK;
  if (x < 0 || y < 0 || x + width > imageWidth || y + height > imageHeight) {
    throw new MaskError("A mask lies outside its image.");
  }
  return { x, y, width, height, bits: bitsFromCounts(countsFromString(wire.counts), width, height) };
}

export function wireFromMask(mask, { width, height }) {
  const isEmpty = !mask.width || !mask.height;
  return {
    size: [height, width],
    crop_xywh: isEmpty ? [0, 0, 0, 0] : [mask.x, mask.y, mask.width, mask.height],
    counts: isEmpty ? "" : stringFromCounts(countsFromBits(mask.bits, mask.width, mask.height)),
  };
}
