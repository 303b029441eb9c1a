import assert from "node:assert/strict";
import { test } from "node:test";

import { Drafts } from "../../static/annotator/js/desk/drafts.js";

const ABSENT = { instances: [], absent: true, active_seconds: 4.2 };

function storageOf(held) {
  const kept = new Map(Object.entries(held));
  return {
    get: (key) => kept.get(String(key)) ?? null,
    set: (key, value) => kept.set(String(key), value),
    remove: (key) => kept.delete(String(key)),
  };
}

const draftsWith = (held) => {
  const storage = storageOf(held);
  return { storage, drafts: new Drafts({ storage, onState: () => {} }) };
};

test("a draft that arrived before its answer was lost is no second state to choose from", () => {
  const { drafts, storage } = draftsWith({ 7: { version: 0, payload: ABSENT, dirty: true } });
  const reordered = { active_seconds: 4.2, absent: true, instances: [] };
  const { other, payload } = drafts.open({ id: 7, draft: { version: 1, payload: reordered } });
  assert.equal(other, null);
  assert.deepEqual(payload, ABSENT);
  assert.equal(storage.get(7), null, "and the next newer draft is not compared with it");
});

test("other work beside a newer draft is offered", () => {
  const { drafts } = draftsWith({ 7: { version: 0, payload: ABSENT, dirty: true } });
  const theirs = { ...ABSENT, absent: false };
  const { other, payload } = drafts.open({ id: 7, draft: { version: 1, payload: theirs } });
  assert.deepEqual([other, payload], [ABSENT, theirs]);
});
