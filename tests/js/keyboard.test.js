import assert from "node:assert/strict";
import { test } from "node:test";

import { bindKeys, createKeymap, keyName, shownKey } from "../../static/annotator/js/page/keyboard.js";
import { DESK_SHORTCUTS, REVIEW_SHORTCUTS } from "../../static/annotator/js/page/shortcuts.js";

const pressed = (key, modifiers = {}) =>
  keyName({ key, ctrlKey: false, altKey: false, shiftKey: false, metaKey: false, ...modifiers });

function memory(initial = {}) {
  const kept = new Map(Object.entries(initial));
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, value),
    removeItem: (key) => kept.delete(key),
  };
}

test("keys have one name whatever Caps Lock says", () => {
  assert.equal(pressed("n"), "N");
  assert.equal(pressed("N"), "N");
  assert.equal(pressed("N", { shiftKey: true }), "Shift+N");
  assert.equal(pressed(" "), "Space");
  assert.equal(pressed("?", { shiftKey: true }), "?");
  assert.equal(pressed("z", { metaKey: true, shiftKey: true }), "Ctrl+Shift+Z");
});

test("a plus key is shown as one", () => {
  assert.equal(shownKey("+"), "+");
  assert.equal(shownKey("Ctrl+Enter"), "Ctrl+Enter");
});

for (const [name, table] of [
  ["desk", DESK_SHORTCUTS],
  ["review", REVIEW_SHORTCUTS],
]) {
  test(`no key of the ${name} does two things, and none takes Tab`, () => {
    const keys = table.flatMap((row) => row.keys);
    assert.deepEqual(keys, [...new Set(keys)]);
    assert.ok(!keys.some((key) => key.includes("Tab")));
    const actions = table.map((row) => row.action);
    assert.deepEqual(actions, [...new Set(actions)]);
  });
}

test("a remapped key is kept and taken from its former action", () => {
  const storage = memory();
  const loser = createKeymap(DESK_SHORTCUTS, "desk", storage).remap("absent", "X");
  assert.equal(loser, "reject");
  const later = createKeymap(DESK_SHORTCUTS, "desk", storage);
  assert.equal(later.actionOf("X"), "absent");
  assert.equal(later.actionOf("N"), null);
  assert.deepEqual(later.keysOf("reject"), []);
});

test("reset brings the table's keys back", () => {
  const keymap = createKeymap(DESK_SHORTCUTS, "desk", memory());
  keymap.remap("absent", "Q");
  keymap.reset();
  assert.equal(keymap.actionOf("N"), "absent");
});

test("garbage in the browser's storage is as good as nothing", () => {
  const keymap = createKeymap(DESK_SHORTCUTS, "desk", memory({ "roost:keys:desk": "{half" }));
  assert.equal(keymap.actionOf("Space"), "submit");
});

test("a key that was chosen before a newer table used it keeps its meaning", () => {
  const keymap = createKeymap(DESK_SHORTCUTS, "desk", memory({ "roost:keys:desk": '{"absent": ["1"]}' }));
  assert.equal(keymap.actionOf("1"), "absent");
  assert.deepEqual(keymap.keysOf("concept-1"), []);
  assert.equal(keymap.actionOf("2"), "concept-2");
});

test("digits choose concepts at the desk, and one picture pixel a screen pixel has one key on both desks", () => {
  assert.deepEqual(
    [1, 9].map((digit) => createKeymap(DESK_SHORTCUTS, "desk", memory()).actionOf(pressed(String(digit)))),
    ["concept-1", "concept-9"],
  );
  for (const table of [DESK_SHORTCUTS, REVIEW_SHORTCUTS]) {
    assert.equal(createKeymap(table, "any", memory()).actionOf(pressed("Z", { shiftKey: true })), "zoom-actual");
  }
});

function typist() {
  const target = new EventTarget();
  const done = [];
  bindKeys(target, createKeymap(DESK_SHORTCUTS, "desk", memory()), (action) => done.push(action), new Set());
  const send = (type, fields = {}) => target.dispatchEvent(Object.assign(new Event(type), fields));
  return { done, send };
}

test("Space acts once, when it is let go", () => {
  const { done, send } = typist();
  send("keydown", { key: " " });
  send("keydown", { key: " ", repeat: true });
  assert.deepEqual(done, []);
  send("keyup", { key: " " });
  send("keyup", { key: " " });
  assert.deepEqual(done, ["submit"]);
});

test("Space that was held while the pointer went down moved the picture and does nothing else", () => {
  const { done, send } = typist();
  send("keydown", { key: " " });
  send("pointerdown");
  send("keyup", { key: " " });
  assert.deepEqual(done, []);
  send("keydown", { key: "n" });
  assert.deepEqual(done, ["absent"]);
});
