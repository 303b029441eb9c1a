import assert from "node:assert/strict";
import { test } from "node:test";

import { Border } from "../../static/annotator/js/model/border.js";
import { wireInstances } from "../../static/annotator/js/work/payload.js";
import { maskArea, maskGrow, maskShrink } from "../../static/annotator/js/mask/masks.js";
import { ApiError } from "../../static/annotator/js/model/api-client.js";
import { wireFromMask } from "../../static/annotator/js/mask/rle.js";
import { answer, at, box, desk, IMAGE, stroke } from "./support.js";

const areaOf = (state) => maskArea(state().hand.mask);

/** A desk with a 9 x 9 mask in hand whose model, where it knows the mask, draws it a pixel wider for each logit. */
function deskWithBorder({ isForgotten = false } = {}) {
  const parts = desk();
  parts.editor.addPrompt(at(20, 10));
  answer(parts.editor, parts.store, box(16, 6, 9, 9));
  const asked = [];
  const waiting = [];
  const api = {
    async post(url, { mask_id, threshold }) {
      asked.push([url, mask_id, threshold]);
      await new Promise((resolve) => waiting.push(resolve));
      if (isForgotten) throw new ApiError({ status: 404, code: "unknown_mask", message: "Forgotten." });
      const side = 9 - 2 * threshold;
      return { mask: wireFromMask(box(16 + threshold, 6 + threshold, side, side), IMAGE) };
    },
  };
  const said = [];
  const border = new Border({ ...parts, api, tell: () => {}, say: (words) => said.push(words) });
  const answerNext = async () => {
    waiting.shift()();
    await new Promise((resolve) => setTimeout(resolve));
  };
  return { ...parts, border, asked, said, answerNext };
}

test("looser and tighter ask for the same mask at another logit", async () => {
  const { border, asked, answerNext, state, said } = deskWithBorder();
  border.move(-1, false);
  await answerNext();
  assert.deepEqual(asked, [["/api/v1/tasks/7/mask", "m0", 1]]);
  assert.deepEqual([areaOf(state), said.at(-1)], [49, "Tighter 1."]);
  border.move(1, false);
  await answerNext();
  border.move(1, false);
  await answerNext();
  assert.deepEqual([areaOf(state), said.at(-1)], [121, "Looser 1."]);
});

test("a key held down asks one question at a time, the newest, and is one undo", async () => {
  const { border, asked, answerNext, editor, state } = deskWithBorder();
  border.move(-1, false);
  for (let i = 0; i < 3; i++) border.move(-1, true);
  assert.equal(asked.length, 1);
  await answerNext();
  await answerNext();
  assert.deepEqual(
    asked.map(([, , threshold]) => threshold),
    [1, 4],
  );
  assert.equal(areaOf(state), 1);
  assert.match(editor.undo(), /looser or tighter/);
  assert.equal(areaOf(state), 81);
});

test("two presses are two undos", async () => {
  const { border, answerNext, editor, state } = deskWithBorder();
  border.move(1, false);
  await answerNext();
  border.move(1, false);
  await answerNext();
  editor.undo();
  assert.equal(areaOf(state), 121);
});

test("an accepted mask with a moved border says that a person changed it", async () => {
  const { border, answerNext, editor, state } = deskWithBorder();
  border.move(1, false);
  await answerNext();
  editor.accept();
  const [instance] = wireInstances(state().instances);
  assert.deepEqual([instance.origin, instance.edited], ["click", true]);
});

test("an answer for a mask that was dropped meanwhile changes nothing", async () => {
  const { border, answerNext, editor, state } = deskWithBorder();
  border.move(1, false);
  editor.drop();
  await answerNext();
  assert.equal(state().hand, null);
});

test("a forgotten mask grows by a pixel instead, and the sentence says why", async () => {
  const { border, answerNext, state, said } = deskWithBorder({ isForgotten: true });
  border.move(1, false);
  await answerNext();
  assert.equal(areaOf(state), 81 + 4 * 9);
  assert.match(said.at(-1), /A pixel larger .* can't draw this mask anew/);
});

test("a mask that was forgotten and dropped meanwhile leaves the selected one alone", async () => {
  const { border, answerNext, editor, state } = deskWithBorder({ isForgotten: true });
  border.move(-1, false);
  editor.drop();
  await answerNext();
  assert.equal(state().hand, null);
});

test("a drawn mask shrinks by a pixel without asking anybody", () => {
  const { border, asked, editor, state } = deskWithBorder();
  editor.drop();
  editor.paint(stroke(10, 10));
  const before = areaOf(state);
  assert.match(border.move(-1, false), /A pixel smaller/);
  assert.ok(areaOf(state) < before);
  assert.deepEqual(asked, []);
});

test("with nothing in hand the selected proposal is taken up and one undo puts it back", () => {
  const { editor, border, state } = deskWithBorder();
  editor.drop();
  border.move(1, false);
  assert.deepEqual([state().hand.proposal, areaOf(state)], [0, 36 + 4 * 6]);
  editor.undo();
  assert.equal(state().hand, null);
});

test("the border stops at the model's own limit with a sentence", async () => {
  const { border, answerNext } = deskWithBorder();
  for (let i = 0; i < 8; i++) {
    border.move(1, i > 0);
  }
  assert.match(border.move(1, true), /Looser 8: further it does not go/);
  await answerNext();
});

test("growing and shrinking a box by a pixel gives a cross-shaped border and the box without its rim", () => {
  assert.equal(maskArea(maskGrow(box(5, 5, 4, 3), IMAGE)), 12 + 2 * 4 + 2 * 3);
  const left = maskShrink(box(5, 5, 4, 3), IMAGE);
  assert.deepEqual([left.x, left.y, left.width, left.height], [6, 6, 2, 1]);
});

test("an object cut off by the image's edge keeps its pixels there", () => {
  const left = maskShrink(box(0, 0, 4, 4), IMAGE);
  assert.deepEqual([left.x, left.y, left.width, left.height], [0, 0, 3, 3]);
  assert.equal(maskArea(maskGrow(box(0, 0, 4, 4), IMAGE)), 16 + 8);
});
