/** What a person changed in the model's proposal: pixels added and removed over all instances. */

import { EMPTY_MASK, maskArea, maskSubtract, maskUnion } from "./masks.js";

const ADDED = { colour: "#56b4e9", width: 1.5 };
const REMOVED = { colour: "#e69f00", width: 1.5, dash: [4, 3] };

export function differenceOf(proposals, instances) {
  const before = proposals.map(({ mask }) => mask).reduce(maskUnion, EMPTY_MASK);
  const after = instances.map(({ mask }) => mask).reduce(maskUnion, EMPTY_MASK);
  const [added, removed] = [maskSubtract(after, before), maskSubtract(before, after)];
  return { added, removed, addedPx: maskArea(added), removedPx: maskArea(removed) };
}

/** Looks for drawMask: crosses for added, stripes for removed, so that they differ without colour. */
export function differenceLooks(context, pixel) {
  return {
    added: { ...ADDED, fill: 0.75, pattern: hatch(context, ADDED.colour, pixel, true) },
    removed: { ...REMOVED, fill: 0.75, pattern: hatch(context, REMOVED.colour, pixel, false) },
  };
}

const TILE = 8;
const tiles = new Map();

function hatch(context, colour, pixel, isCrossed) {
  const pattern = context.createPattern(tileOf(colour, isCrossed), "repeat");
  pattern.setTransform(new DOMMatrix().scale(pixel)); // stripes as wide on the screen at any zoom
  return pattern;
}

function tileOf(colour, isCrossed) {
  if (tiles.has(colour)) return tiles.get(colour);
  const tile = new OffscreenCanvas(TILE, TILE);
  const pen = tile.getContext("2d");
  Object.assign(pen, { strokeStyle: colour, fillStyle: colour, lineWidth: 2 });
  pen.globalAlpha = 0.35;
  pen.fillRect(0, 0, TILE, TILE);
  pen.globalAlpha = 1;
  pen.beginPath();
  if (isCrossed) {
    pen.moveTo(0, TILE / 2);
    pen.lineTo(TILE, TILE / 2);
    pen.moveTo(TILE / 2, 0);
    pen.lineTo(TILE / 2, TILE);
  } else {
    pen.moveTo(-2, 2);
    pen.lineTo(2, -2);
    pen.moveTo(0, TILE);
    pen.lineTo(TILE, 0);
    pen.moveTo(TILE - 2, TILE + 2);
    pen.lineTo(TILE + 2, TILE - 2);
  }
  pen.stroke();
  tiles.set(colour, tile);
  return tile;
}
