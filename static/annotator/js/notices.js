/** Lasting notices over the stage (model away, lease lost, not yet sent): one a subject, gone when it is over. */

import { element } from "./panel.js";

export function createNotices(container) {
  const shown = new Map();
  return {
    /** `buttons` = [[label, deed]]. The same text again changes nothing, so a live region does not stutter. */
    show(subject, kind, text, buttons = []) {
      if (shown.get(subject)?.text === text) return;
      this.clear(subject);
      const deeds = buttons.map(([label, onclick]) =>
        element("button", { type: "button", className: "button button-small", textContent: label, onclick }),
      );
      const box = element(
        "div",
        { className: `notice notice-${kind}` },
        element("span", { textContent: text }),
        ...deeds,
      );
      shown.set(subject, { box, text });
      container.append(box);
    },
    clear(subject) {
      shown.get(subject)?.box.remove();
      shown.delete(subject);
    },
  };
}
