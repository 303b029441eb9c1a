import assert from "node:assert/strict";
import { test } from "node:test";

import { createSession } from "../../static/annotator/js/desk/session.js";

function storage() {
  const kept = {};
  return { get: (name) => kept[name] ?? null, set: (name, value) => (kept[name] = JSON.parse(JSON.stringify(value))) };
}

test("a task that was reopened and answered again counts once, with its newest instances", () => {
  const session = createSession(storage());
  session.count({ taskId: 1, instances: 3, activeSeconds: 5 });
  session.count({ taskId: 2, instances: 0, activeSeconds: 2 });
  session.count({ taskId: 1, instances: 1, activeSeconds: 4 });
  const { tasks, instances, activeSeconds } = session.values;
  assert.deepEqual([tasks, instances, activeSeconds], [2, 1, 11]);
});

test("the counts go on after a reload", () => {
  const saved = storage();
  createSession(saved).count({ taskId: 1, instances: 3, activeSeconds: 5 });
  const session = createSession(saved);
  session.count({ taskId: 1, instances: 2, activeSeconds: 1 });
  assert.deepEqual([session.values.tasks, session.values.instances], [1, 2]);
});

test("a long day keeps no more than what can be reopened", () => {
  const session = createSession(storage());
  for (let taskId = 1; taskId <= 500; taskId++) session.count({ taskId, instances: 1, activeSeconds: 1 });
  assert.deepEqual([session.values.tasks, session.values.recent.length], [500, 90]);
});
