import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiError } from "../../static/annotator/js/model/api-client.js";
import { Finder } from "../../static/annotator/js/model/finder.js";
import { draftOf, wireInstances, workFromDraft } from "../../static/annotator/js/work/payload.js";
import { proposalsOf, proposedAtFirst } from "../../static/annotator/js/work/work.js";
import { at, answer, box, desk, TASK, wire } from "./support.js";

const found = (score, ...args) => ({ score, stability: 0.9, mask: wire(...args) });
const settled = () => new Promise((resolve) => setTimeout(resolve));

/** A desk whose model answers each search with the next of `answers`: instances, or an error. */
function deskWithFinder(...answers) {
  const parts = desk();
  const [asked, said, told] = [[], [], []];
  const api = {
    abort() {},
    async post(_url, body) {
      asked.push(body.exemplars.map((one) => one.box));
      const next = answers.shift();
      if (next instanceof Error) throw next;
      return { model_version: "v2", instances: next };
    },
  };
  const say = (words) => said.push(words);
  const finder = new Finder({ ...parts, api, say, tell: (state) => told.push(state), onSlow: () => {} });
  return { ...parts, finder, asked, said, told };
}

test("the selected proposal is shown as the example, and what is new is proposed best first", async () => {
  const { finder, asked, said, state } = deskWithFinder([found(0.8, 2, 1, 6, 6), found(0.7, 30, 2, 5, 5)]);
  finder.find();
  await settled();
  assert.deepEqual(asked, [[[1, 1, 7, 7]]]);
  assert.deepEqual(
    state().proposals.map((one) => [one.index, one.score]),
    [
      [0, 0.9],
      [1, 0.5],
      [2, 0.7],
    ],
  );
  assert.match(said.at(-1), /^1 more found/);
  assert.deepEqual(state().cursor, { kind: "proposal", key: 2 });
});

test("two that were found on one object are proposed once", async () => {
  const { finder, state } = deskWithFinder([found(0.8, 30, 2, 5, 5), found(0.7, 30, 2, 5, 4)]);
  finder.find();
  await settled();
  assert.equal(state().proposals.length, 3);
});

test("the mask in hand is the example and is not proposed again", async () => {
  const { finder, editor, store, asked, state } = deskWithFinder([found(0.8, 30, 20, 4, 4)]);
  editor.addPrompt(at(31, 21));
  answer(editor, store, box(30, 20, 4, 4));
  finder.find();
  await settled();
  assert.deepEqual(asked, [[[30, 20, 34, 24]]]);
  assert.equal(state().proposals.length, 2);
});

test("what was found carries its examples to the stored instance", async () => {
  const { finder, editor, state } = deskWithFinder([found(0.7, 30, 2, 5, 5)]);
  finder.find();
  await settled();
  editor.accept();
  const [instance] = wireInstances(state().instances);
  assert.deepEqual(
    [instance.origin, instance.prompts, instance.model_version, instance.score],
    ["exemplar", [{ box: [1, 1, 7, 7] }], "v2", 0.7],
  );
});

test("earlier examples are shown again with the next", async () => {
  const { finder, editor, asked } = deskWithFinder([], []);
  finder.find();
  await settled();
  editor.select({ kind: "proposal", key: 1 });
  finder.find();
  await settled();
  assert.deepEqual(asked[1], [
    [1, 1, 7, 7],
    [20, 10, 24, 14],
  ]);
});

test("one undo takes everything found off again", async () => {
  const { finder, editor, state } = deskWithFinder([found(0.8, 30, 2, 5, 5), found(0.7, 2, 20, 5, 5)]);
  finder.find();
  await settled();
  assert.equal(state().proposals.length, 4);
  editor.undo();
  assert.deepEqual([state().proposals.length, state().cursor], [2, { kind: "proposal", key: 0 }]);
});

test("a rejected find is no false positive of the stored prediction", async () => {
  const { finder, editor, state } = deskWithFinder([found(0.8, 30, 2, 5, 5)]);
  finder.find();
  await settled();
  assert.equal(editor.reject(), "Proposal 3 rejected.");
  editor.select({ kind: "proposal", key: 1 });
  editor.reject();
  assert.deepEqual(proposedAtFirst(state().rejected, state()), [1]);
});

test("a find that is refined by clicks is asked with its frame and keeps the clicks alone", async () => {
  const { finder, editor, store, state } = deskWithFinder([found(0.8, 30, 2, 5, 5)]);
  finder.find();
  await settled();
  editor.take();
  editor.addPrompt(at(31, 3));
  editor.addPrompt(at(32, 4, 0));
  answer(editor, store, box(30, 2, 4, 4));
  editor.accept();
  const [instance] = wireInstances(state().instances);
  assert.deepEqual([instance.origin, instance.prompts], ["click", [at(31, 3), at(32, 4, 0)]]);
});

test("a draft brings the finds and the examples back", async () => {
  const { finder, editor, state } = deskWithFinder([found(0.8, 30, 2, 5, 5)]);
  finder.find();
  await settled();
  editor.accept();
  const payload = JSON.parse(JSON.stringify(draftOf(state(), 1)));
  const other = desk();
  other.editor.load({ task: TASK, proposals: proposalsOf(TASK), work: workFromDraft(payload) });
  assert.deepEqual(other.state().exemplars, [[1, 1, 7, 7]]);
  assert.deepEqual(other.state().proposals[2], state().proposals[2]);
  assert.equal(other.state().instances[0].proposal, 2);
});

test("nothing more is said, and nothing is there to undo", async () => {
  const { finder, editor, said } = deskWithFinder([found(0.8, 1, 1, 6, 6)]);
  finder.find();
  await settled();
  assert.match(said.at(-1), /No more found/);
  assert.equal(editor.undo(), null);
});

test("without an object at hand it says what to do", () => {
  const { finder, editor, asked } = deskWithFinder();
  editor.select(null);
  assert.match(finder.find(), /Show an example first/);
  assert.deepEqual(asked, []);
});

test("a model that is away is told as with clicks", async () => {
  const { finder, told } = deskWithFinder(new ApiError({ status: 503, code: "backend_unavailable", message: "Away." }));
  finder.find();
  await settled();
  assert.deepEqual(told, [{ kind: "away", message: "Away." }]);
});

test("a model that is loading is asked again by itself", async () => {
  const loading = new ApiError({ status: 503, code: "loading", message: "Loading.", retryAfterMs: 5 });
  const { finder, state } = deskWithFinder(loading, [found(0.8, 30, 2, 5, 5)]);
  finder.find();
  await new Promise((resolve) => setTimeout(resolve, 40));
  assert.equal(state().proposals.length, 3);
});
