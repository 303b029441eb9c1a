import assert from "node:assert/strict";
import { test } from "node:test";

import { differenceOf } from "../../static/annotator/js/mask/difference.js";
import { replaySteps } from "../../static/annotator/js/stage/replay.js";

const box = (x, y, width, height) => ({ mask: { x, y, width, height, bits: new Uint8Array(width * height).fill(1) } });

test("the difference counts pixels over all instances, not instance by instance", () => {
  const found = differenceOf([box(0, 0, 4, 4), box(10, 10, 2, 2)], [box(2, 0, 4, 4), box(0, 0, 2, 4)]);
  assert.deepEqual([found.addedPx, found.removedPx], [8, 4]);
});

test("an absent answer removes every proposal", () => {
  assert.deepEqual(differenceOf([box(1, 1, 3, 3)], []).removedPx, 9);
});

test("clicks replay one by one, instance after instance", () => {
  const [a, b, c] = [{ x: 1 }, { x: 2 }, { x: 3 }];
  const steps = replaySteps([{ prompts: [a, b] }, { prompts: [] }, { prompts: [c] }]);
  assert.deepEqual(
    steps.map(({ instance, shown }) => [instance, shown]),
    [
      [0, 1],
      [0, 2],
      [2, 1],
    ],
  );
});
