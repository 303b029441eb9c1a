import assert from "node:assert/strict";
import { test } from "node:test";

import {
  EMPTY_MASK,
  maskArea,
  maskContains,
  maskFillHoles,
  maskIou,
  maskParts,
  maskSubtract,
  maskUnion,
} from "../../static/annotator/js/mask/masks.js";
import { outlineLoops } from "../../static/annotator/js/mask/outline.js";
import { maskFromPolygon, maskFromStroke } from "../../static/annotator/js/mask/shapes.js";

/** A mask from a drawing: "#" is set. */
function drawn(x, y, ...rows) {
  const bits = Uint8Array.from(rows.join(""), (mark) => (mark === "#" ? 1 : 0));
  return { x, y, width: rows[0].length, height: rows.length, bits };
}

function picture(mask) {
  const rows = [];
  for (let row = 0; row < mask.height; row++) {
    rows.push(
      [...mask.bits.subarray(row * mask.width, (row + 1) * mask.width)].map((bit) => (bit ? "#" : ".")).join(""),
    );
  }
  return [mask.x, mask.y, ...rows];
}

const IMAGE = { width: 20, height: 20 };

test("union spans both crops and leaves its arguments alone", () => {
  const left = drawn(1, 1, "##");
  const right = drawn(4, 2, "#");
  assert.deepEqual(picture(maskUnion(left, right)), [1, 1, "##..", "...#"]);
  assert.deepEqual(picture(left), [1, 1, "##"]);
});

test("subtracting trims to what is left", () => {
  assert.deepEqual(picture(maskSubtract(drawn(3, 3, "####"), drawn(2, 3, "###"))), [5, 3, "##"]);
});

test("subtracting a mask from itself leaves the empty mask", () => {
  const mask = drawn(3, 3, "#");
  assert.equal(maskSubtract(mask, mask), EMPTY_MASK);
});

test("IoU of half-shifted squares is a third", () => {
  assert.equal(maskIou(drawn(0, 0, "##", "##"), drawn(1, 0, "##", "##")), 2 / 6);
});

test("IoU of two empty masks is 0", () => {
  assert.equal(maskIou(EMPTY_MASK, EMPTY_MASK), 0);
});

test("contains looks at whole pixels", () => {
  const mask = drawn(5, 5, "#.");
  assert.ok(maskContains(mask, { x: 5.99, y: 5.01 }));
  assert.ok(!maskContains(mask, { x: 6, y: 5.5 }));
  assert.ok(!maskContains(mask, { x: 4.99, y: 5.5 }));
});

test("fills a hole but not a bay", () => {
  assert.deepEqual(picture(maskFillHoles(drawn(0, 0, "####", "#.#.", "####"))), [0, 0, "####", "###.", "####"]);
});

test("parts touching at a corner are two, largest first", () => {
  const parts = maskParts(drawn(2, 2, "#..", ".##"));
  assert.deepEqual(parts.map(picture), [
    [3, 3, "##"],
    [2, 2, "#"],
  ]);
});

test("a dab sets the pixels whose centres lie within the radius", () => {
  const dab = maskFromStroke([{ x: 5, y: 5 }], 1.6, IMAGE);
  assert.deepEqual(picture(dab), [3, 3, ".##.", "####", "####", ".##."]);
});

test("a stroke is as wide as its brush all along and stays inside the image", () => {
  const stroke = maskFromStroke(
    [
      { x: -5, y: 2.5 },
      { x: 3, y: 2.5 },
    ],
    0.6,
    IMAGE,
  );
  assert.deepEqual(picture(stroke), [0, 2, "####"]);
});

test("a polygon sets the pixels whose centres lie inside", () => {
  const triangle = maskFromPolygon(
    [
      { x: 2, y: 2 },
      { x: 6, y: 2 },
      { x: 2, y: 6 },
    ],
    IMAGE,
  );
  assert.equal(maskArea(triangle), 6);
  assert.ok(maskContains(triangle, { x: 2.5, y: 2.5 }));
});

test("a square of whole pixels is exactly those pixels", () => {
  const square = maskFromPolygon(
    [
      { x: 1, y: 1 },
      { x: 4, y: 1 },
      { x: 4, y: 3 },
      { x: 1, y: 3 },
    ],
    IMAGE,
  );
  assert.deepEqual(picture(square), [1, 1, "###", "###"]);
});

test("two points are no polygon", () => {
  assert.equal(
    maskFromPolygon(
      [
        { x: 1, y: 1 },
        { x: 4, y: 1 },
      ],
      IMAGE,
    ),
    EMPTY_MASK,
  );
});

test("the outline of a rectangle has its four corners", () => {
  assert.deepEqual(outlineLoops(drawn(3, 4, "##", "##")), [[5, 4, 5, 6, 3, 6, 3, 4]]);
});

test("a ring has an outer and an inner loop", () => {
  assert.equal(outlineLoops(drawn(0, 0, "###", "#.#", "###")).length, 2);
});

test("the even-odd polygon of the outline is the mask again", () => {
  const mask = drawn(2, 3, "#.##.", "##..#", ".###.", "#.#.#");
  const loops = outlineLoops(mask).map((loop) => {
    const points = [];
    for (let i = 0; i < loop.length; i += 2) points.push({ x: loop[i], y: loop[i + 1] });
    return points;
  });
  let pixels = 0;
  for (let y = 0; y < 20; y++) {
    for (let x = 0; x < 20; x++) {
      const inside = loops.filter((loop) => maskContains(maskFromPolygon(loop, IMAGE), { x, y })).length % 2 === 1;
      assert.equal(inside, maskContains(mask, { x, y }), `pixel ${x}, ${y}`);
      pixels += inside;
    }
  }
  assert.equal(pixels, 12);
});
