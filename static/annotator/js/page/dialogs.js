/** Questions that stop the work: which state to keep, and the sheet of keys. Native dialogs keep the focus. */

import { fillKeySheet, keyName, labelButtons, shownKey } from "./keyboard.js";

/** Show `dialog` and resolve with the value of the button that closed it ("" for Esc). */
export function ask(dialog) {
  return new Promise((resolve) => {
    dialog.returnValue = "";
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
    dialog.showModal();
  });
}

/** Two states of one draft: "mine" or "theirs". Esc decides nothing, so it is asked again. */
export async function askWhichDraft(dialog, { mine, theirs }) {
  dialog.querySelector("[data-role=mine]").textContent = mine;
  dialog.querySelector("[data-role=theirs]").textContent = theirs;
  for (;;) {
    const answer = await ask(dialog);
    if (answer) return answer;
  }
}

/** The `?` sheet: prints the table, and changes keys. */
export function createKeySheet({ dialog, keymap, root }) {
  const body = dialog.querySelector("[data-role=keys]");
  const note = dialog.querySelector("[data-role=keys-note]");
  const refresh = () => {
    fillKeySheet(body, keymap, remap);
    labelButtons(root, keymap);
  };

  function remap(row, button) {
    button.textContent = "Press a key …";
    const onKey = (event) => {
      event.preventDefault();
      event.stopPropagation();
      const pressed = keyName(event);
      if (["Shift", "Control", "Alt", "Meta"].includes(event.key)) return;
      button.removeEventListener("keydown", onKey);
      if (pressed !== "Escape" && pressed !== "Tab") change(row, pressed);
      refresh();
    };
    button.addEventListener("keydown", onKey);
    button.focus();
  }

  function change(row, pressed) {
    const loser = keymap.remap(row.action, pressed);
    const lost = keymap.table.find((other) => other.action === loser);
    note.textContent = `${shownKey(pressed)} is now: ${row.label}.${lost ? ` It was: ${lost.label}.` : ""}`;
  }

  dialog.querySelector("[data-role=keys-reset]").addEventListener("click", () => {
    keymap.reset();
    note.textContent = "All keys are as they came.";
    refresh();
  });
  refresh();
  return { show: () => dialog.showModal() };
}
