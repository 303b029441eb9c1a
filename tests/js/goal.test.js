import assert from "node:assert/strict";
import { test } from "node:test";

import { createGoal, midnight } from "../../static/annotator/js/desk/goal.js";

/** The panel's three elements, and a server that says how much was settled. */
function panel({ goal = null, answers = [] } = {}) {
  const elements = {
    today: {},
    "today-bar": {},
    goal: { addEventListener: (_, action) => (elements.goal.change = action) },
  };
  const values = { goal };
  const settings = { get: (name) => values[name], set: (name, value) => (values[name] = value) };
  const asked = [];
  const api = {
    async get(url) {
      asked.push(url);
      const next = answers.shift();
      if (next instanceof Error) throw next;
      return { settled: next };
    },
  };
  const made = createGoal({ api, slug: "barn", role: (name) => elements[name], settings });
  return { ...elements, made, values, asked };
}

test("without a goal the count stands alone", async () => {
  const { made, today, "today-bar": bar } = panel({ answers: [12] });
  assert.equal(today.textContent, "–");
  await made.refresh();
  assert.deepEqual([today.textContent, bar.hidden], ["12", true]);
});

test("with a goal a bar fills and stops at full", async () => {
  const { made, today, "today-bar": bar } = panel({ goal: 10, answers: [4, 14] });
  await made.refresh();
  assert.deepEqual([today.textContent, bar.hidden, bar.value, bar.max], ["4 of 10", false, 4, 10]);
  await made.refresh();
  assert.deepEqual([today.textContent, bar.value], ["14 of 10", 10]);
});

test("what is no goal takes the goal away", () => {
  for (const text of ["", "0", "-3", "many"]) {
    const { goal, values } = panel({ goal: 10 });
    goal.value = text;
    goal.change();
    assert.deepEqual([values.goal, goal.value], [null, ""]);
  }
});

test("a server away leaves the last known count", async () => {
  const { made, today } = panel({ answers: [3, new Error("away")] });
  await made.refresh();
  await made.refresh();
  assert.equal(today.textContent, "3");
});

test("the day begins at midnight where the person is", () => {
  assert.deepEqual(midnight(new Date(2026, 4, 3, 17, 30)), new Date(2026, 4, 3, 0, 0));
});
