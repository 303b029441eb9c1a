/** The concepts of an image that is decided in one pass: number, colour, name and what is decided, as buttons. */

import { decisionOf, isPass, workOn } from "../work/concepts.js";
import { labelButtons } from "../page/keyboard.js";
import { element } from "../page/panel.js";

export class Strip {
  #root;
  #transfers;
  #keymap;
  #group = null;
  #buttons = new Map(); // task id -> {button, state}

  /** `transfers`: the buttons that make sense with several concepts alone. */
  constructor({ root, transfers, keymap }) {
    this.#root = root;
    this.#transfers = transfers;
    this.#keymap = keymap;
  }

  show(state) {
    this.#root.hidden = this.#transfers.hidden = !isPass(state);
    if (state.group !== this.#group) this.#build(state);
    for (const [taskId, { button, told }] of this.#buttons) {
      const decision = wordsOf(workOn(state, taskId));
      if (told.textContent !== decision) told.textContent = decision;
      button.dataset.decision = decision.split(" ")[0];
      button.setAttribute("aria-pressed", String(taskId === state.taskId));
    }
  }

  #build(state) {
    this.#group = state.group;
    const shown = isPass(state) ? state.group : [];
    const made = shown.map((one) => [one.taskId, conceptButton(one)]);
    this.#buttons = new Map(made);
    this.#root.replaceChildren(...made.map(([, { button }]) => button));
    labelButtons(this.#root, this.#keymap);
  }
}

function conceptButton({ number, name, colour }) {
  const dot = element("span", { className: "dot" });
  dot.style.backgroundColor = colour;
  const told = element("span", { className: "desk-concept-state" });
  const looks = { type: "button", className: "desk-concept", dataset: { action: `concept-${number}` } };
  const button = element("button", looks, element("kbd"), dot, element("span", { textContent: name }), told);
  return { button, told };
}

function wordsOf(work) {
  const decision = decisionOf(work);
  return decision === "present" ? `present ${work.instances.length}` : decision;
}
