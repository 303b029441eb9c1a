/** The presence band under the pointer, and the arrow keys on bulk approval. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { neighbour } from "../../static/js/pages/bulk-approval.js";
import { gripAt, movedBand } from "../../static/js/pages/queue.js";

const near = (band, low, high) => {
  assert.ok(Math.abs(band.low - low) < 1e-9 && Math.abs(band.high - high) < 1e-9, JSON.stringify(band));
};

test("an end moves alone, the band as a whole", () => {
  near(movedBand({ low: 0.4, high: 0.6 }, "low", -0.104), 0.3, 0.6);
  near(movedBand({ low: 0.4, high: 0.6 }, "high", 0.2), 0.4, 0.8);
  near(movedBand({ low: 0.4, high: 0.6 }, "band", 0.15), 0.55, 0.75);
});

test("the band is never empty and never leaves 0 to 1", () => {
  near(movedBand({ low: 0.4, high: 0.6 }, "low", 0.9), 0.59, 0.6);
  near(movedBand({ low: 0.4, high: 0.6 }, "high", -0.9), 0.4, 0.41);
  near(movedBand({ low: 0.4, high: 0.6 }, "band", 0.9), 0.8, 1);
  near(movedBand({ low: 0.4, high: 0.6 }, "band", -0.9), 0, 0.2);
});

test("the nearer end is gripped within reach, the band between, nothing outside", () => {
  const ends = [100, 200];
  assert.deepEqual(
    [93, 107, 195, 209, 150, 80, 220].map((x) => gripAt(x, ends)),
    ["low", "low", "high", "high", "band", null, null],
  );
  assert.equal(gripAt(104, [100, 106]), "high");
});

// Three cards in the first row, two in the second, the second row's wider apart.
const CARDS = [
  [0, 0],
  [100, 0],
  [200, 0],
  [0, 300],
  [120, 300],
].map(([left, top]) => ({ left, top, width: 90 }));

test("arrow keys go where the eye expects the next card, and stop at the rim", () => {
  const to = (from, key) => neighbour(CARDS, from, key);
  assert.deepEqual([to(0, "ArrowRight"), to(2, "ArrowRight"), to(4, "ArrowRight")], [1, 3, 4]);
  assert.deepEqual([to(3, "ArrowLeft"), to(0, "ArrowLeft")], [2, 0]);
  assert.deepEqual([to(0, "ArrowDown"), to(1, "ArrowDown"), to(2, "ArrowDown"), to(3, "ArrowDown")], [3, 4, 4, 3]);
  assert.deepEqual([to(4, "ArrowUp"), to(3, "ArrowUp"), to(1, "ArrowUp")], [1, 0, 1]);
});
