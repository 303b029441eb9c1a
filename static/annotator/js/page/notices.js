/** Lasting notices over the stage (model away, lease lost, not yet sent): one a subject, gone when it is over. */

import { element } from "./panel.js";

export class Notices {
  #container;
  #shown = new Map(); // subject -> {box, text}

  constructor(container) {
    this.#container = container;
  }

  /**
   * `buttons` = [[label, action]]; clicks beside them go through to the picture. The same text again changes nothing,
   * so that the live region does not stutter, and what was put away stays away.
   */
  show(subject, kind, text, buttons = []) {
    if (this.#shown.get(subject)?.text === text) return;
    this.clear(subject);
    const putAway = button("✕", () => box.remove());
    putAway.setAttribute("aria-label", "Put this notice away");
    const actions = buttons.map(([label, action]) => button(label, action));
    const box = element("div", { className: `notice notice-${kind}` }, element("span", { textContent: text }));
    box.append(element("span", { className: "desk-notice-actions" }, ...actions, putAway));
    this.#shown.set(subject, { box, text });
    this.#container.append(box);
  }

  clear(subject) {
    this.#shown.get(subject)?.box.remove();
    this.#shown.delete(subject);
  }
}

const button = (textContent, onclick) =>
  element("button", { type: "button", className: "button button-small", textContent, onclick });
