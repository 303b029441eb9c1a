/** Keys: naming them, binding them to actions, remapping them, and showing them on buttons and on the `?` sheet. */

const STORAGE_KEY = "roost:keys:";
const TYPING = "input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable=true], dialog[open] *";
const PRESSING = "button, a[href], summary, input[type=checkbox], [role=button]";
const SHOWN = { Space: "Space", Escape: "Esc", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };

/** "Ctrl+Shift+Z", "Space", "?": letters upper case, Shift named only where the character does not tell it. */
export function keyName(event) {
  const key = event.key === " " ? "Space" : event.key.length === 1 ? event.key.toUpperCase() : event.key;
  const isCharacter = key.length === 1 && key.toLowerCase() === key.toUpperCase();
  const parts = [];
  if (event.ctrlKey || event.metaKey) parts.push("Ctrl");
  if (event.altKey) parts.push("Alt");
  if (event.shiftKey && !isCharacter) parts.push("Shift");
  return [...parts, key].join("+");
}

export const shownKey = (name) =>
  name
    .split("+")
    .map((part) => SHOWN[part] ?? part)
    .join("+") || "+";

/** aria-keyshortcuts wants "Control" and names for the space and plus keys. */
export const ariaKey = (name) => (name === "+" ? "Plus" : name.replace("Ctrl", "Control"));

/** A shortcut table plus the person's own changes, kept in `storage` under the table's name. */
export function createKeymap(table, name, storage) {
  const key = STORAGE_KEY + name;
  let own = readOwn(storage, key);
  // What the person chose goes before what the table says, also where a newer table gives that key to something else.
  const isChosen = (pressed) => Object.values(own).some((keys) => keys.includes(pressed));
  const asCame = (action) => table.find((row) => row.action === action)?.keys ?? [];
  const keysOf = (action) => own[action] ?? asCame(action).filter((key) => !isChosen(key));
  return {
    table,
    keysOf,
    actionOf: (pressed) => table.find((row) => keysOf(row.action).includes(pressed))?.action ?? null,
    /** Give `pressed` to the action; whoever had it loses it and is returned. */
    remap(action, pressed) {
      const loser = this.actionOf(pressed);
      if (loser && loser !== action) own = { ...own, [loser]: keysOf(loser).filter((one) => one !== pressed) };
      own = { ...own, [action]: [pressed] };
      storage.setItem(key, JSON.stringify(own));
      return loser === action ? null : loser;
    },
    reset() {
      own = {};
      storage.removeItem(key);
    },
  };
}

function readOwn(storage, key) {
  try {
    const own = JSON.parse(storage.getItem(key) ?? "{}");
    return own && typeof own === "object" && !Array.isArray(own) ? own : {};
  } catch {
    return {}; // somebody else's or half-written text: the table's own keys are always right
  }
}

/**
 * Call `run(action, event)` for keys of the map; keys typed into a field or pressing a button are left alone. A key
 * held down repeats only what is in `repeating`: a Space held too long must not submit the next image as well. Space
 * acts when it is let go, and not at all where the pointer went down meanwhile: then it moved the picture.
 */
export function bindKeys(target, keymap, run, repeating) {
  let onRelease = null; // what letting go of Space will do
  const forget = () => (onRelease = null);
  const onKeyDown = (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    const pressed = keyName(event);
    const action = keymap.actionOf(pressed);
    if (!action || isTaken(event)) return;
    event.preventDefault();
    if (pressed === "Space") onRelease = event.repeat ? onRelease : action;
    else if (!event.repeat || repeating.has(action)) run(action, event);
  };
  const onKeyUp = (event) => {
    if (event.key !== " " || !onRelease) return;
    event.preventDefault();
    const action = onRelease;
    forget();
    run(action, event);
  };
  const listeners = { keydown: onKeyDown, keyup: onKeyUp, pointerdown: forget, visibilitychange: forget };
  for (const [type, listener] of Object.entries(listeners)) target.addEventListener(type, listener);
  return () => {
    for (const [type, listener] of Object.entries(listeners)) target.removeEventListener(type, listener);
  };
}

function isTaken({ target, key, ctrlKey, metaKey }) {
  if (!target.matches) return false;
  if (target.matches(TYPING) || target.closest("dialog[open]")) return true;
  if (target.matches("input[type=range]") && key.startsWith("Arrow")) return true;
  return target.matches(PRESSING) && !ctrlKey && !metaKey && (key === "Enter" || key === " ");
}

/** Write each action's keys on its buttons: `aria-keyshortcuts` and the <kbd> inside. */
export function labelButtons(root, keymap) {
  for (const button of root.querySelectorAll("[data-action]")) {
    const keys = keymap.keysOf(button.dataset.action);
    if (keys.length) button.setAttribute("aria-keyshortcuts", keys.map(ariaKey).join(" "));
    else button.removeAttribute("aria-keyshortcuts");
    const hint = button.querySelector("kbd");
    if (hint) showKey(hint, keys[0]);
  }
}

function showKey(hint, key) {
  hint.textContent = key ? shownKey(key) : "";
  hint.toggleAttribute("data-long", hint.textContent.length > 3);
}

/** Fill `container` with one table a group; `onRemap(action)`, where given, adds a button a row. */
export function fillKeySheet(container, keymap, onRemap) {
  container.replaceChildren();
  for (const group of new Set(keymap.table.map((row) => row.group))) {
    const table = document.createElement("table");
    table.createCaption().textContent = group;
    const body = table.createTBody();
    for (const row of keymap.table.filter((entry) => entry.group === group))
      fillRow(body.insertRow(), row, keymap, onRemap);
    container.append(table);
  }
}

function fillRow(line, row, keymap, onRemap) {
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = row.label;
  line.append(head);
  const cell = line.insertCell();
  for (const key of keymap.keysOf(row.action)) {
    const kbd = document.createElement("kbd");
    kbd.textContent = shownKey(key);
    cell.append(kbd, " ");
  }
  if (!onRemap) return;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Change";
  button.setAttribute("aria-label", `Change the key of: ${row.label}`);
  button.addEventListener("click", () => onRemap(row, button));
  line.insertCell().append(button);
}
