import assert from "node:assert/strict";
import { test } from "node:test";

import { questionOf } from "../../static/annotator/js/work/hand.js";
import { draftOf, handDraft, wireInstances, workFromDraft } from "../../static/annotator/js/work/payload.js";
import { maskArea, maskContains } from "../../static/annotator/js/mask/masks.js";
import { maskFromWire } from "../../static/annotator/js/mask/rle.js";
import { linkedToProposals, proposalsOf, proposalStatus } from "../../static/annotator/js/work/work.js";
import { answer, at, box, desk, IMAGE, stroke, TASK, wire } from "./support.js";

test("Enter accepts the best proposal first and walks on to the next", () => {
  const { editor, state } = desk();
  editor.accept();
  assert.deepEqual(
    state().instances.map((one) => one.proposal),
    [0],
  );
  assert.deepEqual(state().cursor, { kind: "proposal", key: 1 });
});

test("a rejected proposal is recorded and undo brings it back", () => {
  const { editor, state } = desk();
  editor.reject();
  assert.deepEqual(state().rejected, [0]);
  editor.undo();
  assert.deepEqual(state().rejected, []);
  assert.deepEqual(state().cursor, { kind: "proposal", key: 0 });
});

test("rejecting an accepted proposal takes its instance away", () => {
  const { editor, state } = desk();
  editor.accept();
  editor.select({ kind: "instance", key: state().instances[0].key });
  editor.reject();
  assert.deepEqual(state().instances, []);
  assert.deepEqual(state().rejected, [0]);
});

test("auto-accept takes what scores enough and leaves the rest open", () => {
  const { editor, state } = desk();
  editor.autoAccept(0.6);
  assert.deepEqual(
    state().instances.map((one) => one.proposal),
    [0],
  );
  assert.equal(proposalStatus(state(), 1), "open");
});

test("J and K walk around all open proposals and instances", () => {
  const { editor, state } = desk();
  editor.accept();
  const seen = [1, 2, 3].map(() => {
    editor.move(1);
    return state().cursor.kind;
  });
  assert.deepEqual(seen, ["instance", "proposal", "instance"]);
  editor.move(-1);
  assert.deepEqual(state().cursor, { kind: "proposal", key: 1 });
});

test("a click waits for its mask; the answer can be accepted and holds prompt, score and model", () => {
  const { editor, store, state } = desk();
  assert.equal(editor.addPrompt(at(30, 5)), null);
  assert.match(editor.accept(), /still drawing/);
  assert.ok(answer(editor, store, box(28, 3, 5, 5)));
  editor.accept();
  const [instance] = wireInstances(state().instances);
  assert.deepEqual(instance, {
    mask: wire(28, 3, 5, 5),
    origin: "click",
    prompts: [at(30, 5)],
    model_version: "demo",
    score: 0.9,
    edited: false,
  });
});

test("an answer to a click that was undone changes nothing", () => {
  const { editor, state } = desk();
  editor.addPrompt(at(30, 5));
  const { token } = state().hand;
  editor.undo();
  assert.equal(
    editor.answer(token, { candidates: [{ mask: box(0, 0, 1, 1), score: 1, maskId: "m" }], modelVersion: "demo" }),
    false,
  );
  assert.equal(state().hand, null);
});

test("refining sends all points and the mask they start from", () => {
  const { editor, store, state } = desk();
  editor.addPrompt(at(30, 5));
  answer(editor, store, box(28, 3, 5, 5));
  editor.addPrompt(at(33, 9, 0));
  assert.deepEqual(questionOf(state().hand), { points: [at(30, 5), at(33, 9, 0)], box: null, earlier_mask_id: "m0" });
});

test("undo after a refinement brings the earlier mask and its id back", () => {
  const { editor, store, state } = desk();
  editor.addPrompt(at(30, 5));
  answer(editor, store, box(28, 3, 5, 5));
  editor.addPrompt(at(33, 9, 0));
  answer(editor, store, box(28, 3, 2, 2), box(1, 1, 1, 1));
  editor.undo();
  assert.equal(maskArea(state().hand.mask), 25);
  assert.equal(state().hand.maskId, "m0");
});

test("a subtracting first click takes the object under it in hand, framed for the model", () => {
  const { editor, state } = desk();
  editor.addPrompt(at(3, 3, 0));
  assert.equal(state().hand.proposal, 0);
  assert.deepEqual(questionOf(state().hand).box, [1, 1, 7, 7]);
});

test("a subtracting first click on nothing is refused with a reason", () => {
  const { editor, state } = desk();
  assert.match(editor.addPrompt(at(38, 28, 0)), /nothing here/);
  assert.equal(state().hand, null);
});

test("candidates cycle and carry their own mask id", () => {
  const { editor, store, state } = desk();
  editor.addPrompt(at(30, 5));
  answer(editor, store, box(28, 3, 5, 5), box(28, 3, 2, 2), box(20, 1, 15, 15));
  editor.cycleCandidate();
  assert.equal(maskArea(state().hand.mask), 4);
  assert.equal(state().hand.maskId, "m1");
  editor.cycleCandidate();
  editor.cycleCandidate();
  assert.equal(maskArea(state().hand.mask), 25);
});

test("paint survives a refinement by the model", () => {
  const { editor, store, state } = desk();
  editor.addPrompt(at(30, 5));
  answer(editor, store, box(28, 3, 5, 5));
  editor.paint(stroke(10, 25));
  editor.addPrompt(at(29, 4));
  answer(editor, store, box(27, 3, 6, 5));
  assert.ok(maskContains(state().hand.mask, { x: 10, y: 25 }));
  assert.ok(maskContains(state().hand.mask, { x: 27, y: 3 }));
});

test("erasing part of an instance takes it in hand and accepting replaces it in place", () => {
  const { editor, state } = desk();
  editor.autoAccept(0);
  editor.erase(stroke(3, 3));
  editor.accept();
  assert.equal(state().instances.length, 2);
  const fixed = state().instances[0];
  assert.ok(!maskContains(fixed.mask, { x: 3, y: 3 }));
  assert.deepEqual([fixed.edited, fixed.origin, fixed.proposal], [true, "proposal", 0]);
});

test("brush alone makes a drawn instance without a model", () => {
  const { editor, state } = desk();
  editor.select(null);
  editor.paint(stroke(30, 25));
  editor.accept();
  const [instance] = wireInstances(state().instances);
  assert.deepEqual([instance.origin, instance.model_version, instance.prompts], ["drawn", null, []]);
});

test("a mask accepted over a proposal settles that proposal", () => {
  const { editor, store, state } = desk();
  editor.addPrompt(at(3, 3));
  answer(editor, store, box(1, 1, 6, 5));
  editor.accept();
  assert.equal(proposalStatus(state(), 0), "covered");
  assert.equal(proposalStatus(state(), 1), "open");
});

test("an empty mask can't be accepted", () => {
  const { editor, store, state } = desk();
  editor.addPrompt(at(30, 5));
  answer(editor, store, { x: 0, y: 0, width: 0, height: 0, bits: new Uint8Array(0) });
  assert.match(editor.accept(), /empty/);
  assert.equal(state().instances.length, 0);
});

test("a draft through JSON gives the same work back, hand and all", () => {
  const { editor, store, state } = desk();
  editor.accept();
  editor.reject();
  editor.addPrompt(at(30, 5));
  answer(editor, store, box(28, 3, 5, 5));
  const work = workFromDraft(JSON.parse(JSON.stringify(draftOf(state(), 12.3))));
  assert.deepEqual(wireInstances(work.instances), wireInstances(state().instances));
  assert.deepEqual(work.rejected, [1]);
  assert.deepEqual(work.instances[0].proposal, 0);
  assert.deepEqual(work.hand.prompts, [at(30, 5)]);
  assert.deepEqual(work.hand.mask, state().hand.mask);
  assert.equal(handDraft(null, IMAGE), null);
});

test("a submission that came too late is work again", () => {
  const submission = {
    verdict: "present",
    instances: [{ mask: wire(1, 1, 2, 2), origin: "drawn" }],
    rejected_proposals: [1],
  };
  const work = workFromDraft({ submission });
  assert.deepEqual(work.instances[0].mask, maskFromWire(wire(1, 1, 2, 2)));
  assert.deepEqual(work.rejected, [1]);
});

test("splitting makes an instance of each part and undo makes them one again", () => {
  const { editor, state } = desk();
  editor.select(null);
  editor.paint(stroke(8, 25));
  editor.paint(stroke(30, 25));
  editor.accept();
  editor.select({ kind: "instance", key: state().instances[0].key });
  assert.equal(editor.split(), "Split into 2 instances.");
  assert.deepEqual(
    state().instances.map((one) => maskArea(one.mask)),
    [maskArea(stroke(8, 25)), maskArea(stroke(30, 25))],
  );
  editor.undo();
  assert.equal(state().instances.length, 1);
});

test("instances read back from the server settle their proposals again", () => {
  const proposals = proposalsOf(TASK);
  const accepted = { ...proposals[0], key: "a", origin: "proposal", covers: [], proposal: null };
  const redrawn = { key: "b", origin: "drawn", mask: box(20, 10, 4, 3), covers: [], proposal: null };
  const linked = linkedToProposals([accepted, redrawn], proposals);
  assert.deepEqual([linked[0].proposal, linked[1].proposal, linked[1].covers], [0, null, [1]]);
});

test("a click that was never answered is no prompt of what was then drawn by hand", () => {
  const { editor, state } = desk();
  editor.addPrompt(at(30, 20));
  editor.answerFailed(state().hand.token);
  editor.paint(stroke(30, 20));
  editor.accept();
  const [instance] = wireInstances(state().instances);
  assert.deepEqual([instance.origin, instance.prompts], ["drawn", []]);
});
