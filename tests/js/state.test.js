import assert from "node:assert/strict";
import { test } from "node:test";

import { createActiveClock } from "../../static/annotator/js/desk/clock.js";
import { createHistory } from "../../static/annotator/js/work/history.js";
import { createStore } from "../../static/annotator/js/work/store.js";

test("the patch that set returns takes the change back", () => {
  const store = createStore({ a: 1, b: 2 });
  const inverse = store.set({ a: 5, b: 2 });
  assert.deepEqual(inverse, { a: 1 });
  store.set(inverse);
  assert.deepEqual(store.state, { a: 1, b: 2 });
});

test("listeners hear which keys changed, and nothing when none did", () => {
  const store = createStore({ a: 1, b: 2 });
  const heard = [];
  store.subscribe((_, changed) => heard.push([...changed]));
  store.set({ a: 1 });
  store.set({ a: 2, b: 2 });
  assert.deepEqual(heard, [["a"]]);
});

test("undo then redo walks the same gestures back and forth", () => {
  const store = createStore({ value: 0 });
  const history = createHistory();
  for (const value of [1, 2, 3]) history.record({ label: "set", before: store.set({ value }), after: { value } });
  store.set(history.undo().before);
  store.set(history.undo().before);
  assert.equal(store.state.value, 1);
  store.set(history.redo().after);
  assert.equal(store.state.value, 2);
});

test("a new gesture forgets what was undone", () => {
  const history = createHistory();
  history.record({ label: "one", before: { v: 0 }, after: { v: 1 } });
  history.undo();
  history.record({ label: "two", before: { v: 0 }, after: { v: 2 } });
  assert.equal(history.redo(), null);
});

test("an answer that came later belongs to its gesture", () => {
  const history = createHistory();
  history.record({ label: "click", before: { hand: null }, after: { hand: "pending" } });
  history.amend({ hand: "mask" });
  history.undo();
  assert.deepEqual(history.redo().after, { hand: "mask" });
});

test("history forgets the oldest gestures first", () => {
  const history = createHistory(2);
  for (const v of [1, 2, 3]) history.record({ label: String(v), before: {}, after: {} });
  assert.equal(history.undo().label, "3");
  assert.equal(history.undo().label, "2");
  assert.equal(history.undo(), null);
});

test("active time stops a minute after the last sign of life", () => {
  let time = 0;
  const clock = createActiveClock(() => time);
  clock.restart();
  time = 10_000;
  clock.touch();
  time = 500_000;
  assert.equal(clock.seconds, 70);
  assert.equal(clock.isRunning, false);
  clock.touch();
  time = 505_000;
  assert.equal(clock.seconds, 75);
});

test("a hidden page does not count", () => {
  let time = 0;
  const clock = createActiveClock(() => time);
  clock.restart();
  time = 5_000;
  clock.hide();
  time = 50_000;
  clock.touch();
  time = 52_000;
  assert.equal(clock.seconds, 7);
});
