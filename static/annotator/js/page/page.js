/** What both desks find on their page: elements, storage, the status line, tool and action buttons. */

import { createApi } from "../model/api-client.js";
import { bindKeys, createKeymap, labelButtons } from "./keyboard.js";
import { createKeySheet } from "./dialogs.js";
import { createStorage } from "./storage.js";
import { Notices } from "./notices.js";
import { createSettings } from "./settings.js";
import { REPEATING } from "./shortcuts.js";

/** @typedef {ReturnType<typeof openPage>} Page */

export function openPage(root, { table, name }) {
  const role = (wanted) => root.querySelector(`[data-role=${wanted}]`);
  const say = (text) => {
    if (text) role("status").textContent = text;
  };
  const { user, slug } = root.dataset;
  const keymap = createKeymap(table, name, localStorage);
  const settings = createSettings(createStorage(localStorage, `roost:settings:${user}:`, say));
  return {
    root,
    role,
    say,
    keymap,
    settings,
    storage: createStorage(localStorage, `roost:draft:${user}:`, say),
    outgoing: createStorage(localStorage, `roost:outbox:${user}:${slug}:`, say),
    sitting: createStorage(sessionStorage, `roost:${name}:${user}:${slug}:`, say),
    api: createApi({ csrfToken }),
    notices: new Notices(role("notices")),
    sheet: createKeySheet({ dialog: role("key-sheet"), keymap, root }),
  };
}

/** The cookie's where there is one: it follows a new sign-in, the page's own does not. */
function csrfToken() {
  const cookie = document.cookie.match(/(?:^|;\s*)csrftoken=([^;]+)/);
  if (cookie) return decodeURIComponent(cookie[1]);
  return document.querySelector("meta[name=csrf-token]").getAttribute("content");
}

/** Buttons with data-action and keys do the same; an action's sentence goes to the status line. */
export function bindActions({ root, keymap, say, role }, actions) {
  const run = async (action, event) => say(await actions[action]?.(event));
  root.addEventListener("click", (event) => {
    const button = event.target.closest("[data-action]");
    if (!button || button.disabled) return;
    run(button.dataset.action, event);
    // A mouse click must not leave the focus on the button: the next Space would press it again.
    if (event.detail > 0) role("stage").focus({ preventScroll: true });
  });
  bindKeys(document, keymap, run, REPEATING);
  labelButtons(root, keymap);
}

/** Which tool is in hand, on its button. */
export function showTool(root, name) {
  for (const button of root.querySelectorAll("[data-action^=tool-]")) {
    button.setAttribute("aria-pressed", String(button.dataset.action === `tool-${name}`));
  }
}

const AWAY = "The model does not answer just now. Brush (B), eraser (E) and polygon (P) still work.";

/** How the model is, as a notice and on the panel. */
export function showModelState(notices, { kind, message }) {
  if (kind === "ok") notices.clear("model");
  else if (kind === "loading") notices.show("model", "info", `${message} Brush, eraser and polygon work meanwhile.`);
  else if (kind === "away") notices.show("model", "warning", `${AWAY} For whoever runs Roost: ${message}`);
  else notices.show("model", "error", message);
}
