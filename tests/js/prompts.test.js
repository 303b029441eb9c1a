import assert from "node:assert/strict";
import { test } from "node:test";

import { questionOf } from "../../static/annotator/js/work/hand.js";
import { draftOf, handFromDraft, wireInstances } from "../../static/annotator/js/work/payload.js";
import { replaySteps } from "../../static/annotator/js/stage/replay.js";
import { answer, at, box, desk } from "./support.js";

const FRAME = [27, 2, 36, 9];

test("a box is kept with the instance, before the clicks that came after it", () => {
  const { editor, store, state } = desk();
  editor.setBox(FRAME);
  answer(editor, store, box(28, 3, 5, 5));
  editor.addPrompt(at(33, 4, 0));
  answer(editor, store, box(28, 3, 4, 4));
  editor.accept();
  assert.deepEqual(wireInstances(state().instances)[0].prompts, [{ box: FRAME }, at(33, 4, 0)]);
});

test("clicks after a box ask with the box, the clicks and the mask so far", () => {
  const { editor, store, state } = desk();
  editor.setBox(FRAME);
  answer(editor, store, box(28, 3, 5, 5));
  editor.addPrompt(at(33, 4, 0));
  assert.deepEqual(questionOf(state().hand), { points: [at(33, 4, 0)], box: FRAME, earlier_mask_id: "m0" });
});

test("an instance made with a box and taken up again is refined within that box", () => {
  const { editor, store, state } = desk();
  editor.setBox(FRAME);
  answer(editor, store, box(28, 3, 5, 5));
  editor.accept();
  editor.select({ kind: "instance", key: state().instances[0].key });
  editor.take();
  editor.addPrompt(at(30, 4));
  assert.deepEqual(questionOf(state().hand), { points: [at(30, 4)], box: FRAME, earlier_mask_id: null });
});

test("a box drawn anew forgets the clicks before it", () => {
  const { editor, store, state } = desk();
  editor.addPrompt(at(30, 5));
  answer(editor, store, box(28, 3, 5, 5));
  editor.setBox(FRAME);
  assert.deepEqual(questionOf(state().hand), { points: [], box: FRAME, earlier_mask_id: null });
});

test("a draft keeps the box of the mask in hand", () => {
  const { editor, store, state } = desk();
  editor.setBox(FRAME);
  answer(editor, store, box(28, 3, 5, 5));
  const kept = JSON.parse(JSON.stringify(draftOf(state(), 1).hand));
  assert.deepEqual(handFromDraft(kept).prompts, [{ box: FRAME }]);
});

test("a box replays as a step of its own", () => {
  const steps = replaySteps([{ prompts: [{ box: FRAME }, at(1, 1)] }]);
  assert.deepEqual(
    steps.map(({ prompts, shown }) => prompts[shown - 1].box ?? "click"),
    [FRAME, "click"],
  );
});
