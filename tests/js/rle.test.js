import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import {
  bitsFromCounts,
  countsFromBits,
  countsFromString,
  EMPTY_MASK,
  MaskError,
  maskFromWire,
  stringFromCounts,
  wireFromMask,
} from "../../static/annotator/js/mask/rle.js";

// Written by tests/data/make_rle_cases.py with pycocotools.
const CASES = JSON.parse(readFileSync(new URL("../data/rle_cases.json", import.meta.url)));

const unpack = (bytes, length) => Uint8Array.from({ length }, (_, i) => (bytes[i >> 3] >> (7 - (i & 7))) & 1);

for (const one of CASES) {
  test(`decodes pycocotools' run lengths: ${one.name}`, () => {
    const bits = bitsFromCounts(countsFromString(one.counts), one.width, one.height);
    assert.equal(
      bits.reduce((sum, bit) => sum + bit, 0),
      one.area,
    );
    if (one.packed_rows) assert.deepEqual(bits, unpack(one.packed_rows, bits.length));
  });

  test(`encodes to pycocotools' very string: ${one.name}`, () => {
    const bits = one.packed_rows
      ? unpack(one.packed_rows, one.width * one.height)
      : bitsFromCounts(countsFromString(one.counts), one.width, one.height);
    assert.equal(stringFromCounts(countsFromBits(bits, one.width, one.height)), one.counts);
  });
}

test("a wire mask comes back the same", () => {
  const noise = CASES.find((one) => one.name === "noise");
  const wire = { size: [100, 200], crop_xywh: [150, 50, noise.width, noise.height], counts: noise.counts };
  assert.deepEqual(wireFromMask(maskFromWire(wire), { width: 200, height: 100 }), wire);
});

test("the empty mask has a crop of nothing", () => {
  const wire = { size: [9, 8], crop_xywh: [0, 0, 0, 0], counts: "" };
  assert.equal(maskFromWire(wire), EMPTY_MASK);
  assert.deepEqual(wireFromMask(EMPTY_MASK, { width: 8, height: 9 }), wire);
});

test("a crop outside its image is refused", () => {
  const wire = { size: [10, 10], crop_xywh: [8, 0, 3, 1], counts: "03" };
  assert.throws(() => maskFromWire(wire), MaskError);
});

for (const [what, counts] of [
  ["too short for the crop", "02"],
  ["too long for the crop", "0Q1"],
  ["cut off in a number", "P"],
  ["a character outside the alphabet", "0 "],
  ["endless", "ooooooooooo"],
]) {
  test(`run lengths are refused: ${what}`, () => {
    assert.throws(() => maskFromWire({ size: [9, 9], crop_xywh: [0, 0, 3, 1], counts }), MaskError);
  });
}
