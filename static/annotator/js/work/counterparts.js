/**
 * Edits that want two things named, one after the other: merge an instance with another, copy or move it to another
 * concept. What waits for its counterpart is the store's `pending`; Esc gives it up. An edit answers with a sentence.
 */

import {
  choosing,
  conceptOf,
  copying,
  decisionOf,
  holdsSame,
  isPass,
  moving,
  nextUndecided,
  othersOf,
} from "./concepts.js";
import { instanceAt, withMerged } from "./work.js";

/** @import { WorkStore } from "./work.js" */
/** @import { Editor } from "./editor.js" */

const SELECT_ONE = "Select an instance first (J, K or the list).";
const NO_OTHER = "There is one concept only to decide here: nothing to copy or move to.";
const TRANSFERS = {
  copy: { patch: copying, label: "copy", done: "Copied" },
  move: { patch: moving, label: "move", done: "Moved" },
};

export class Counterparts {
  /** @type {WorkStore} */
  #store;
  /** @type {Editor} */
  #editor;

  /** @param {{store: WorkStore, editor: Editor}} parts */
  constructor({ store, editor }) {
    this.#store = store;
    this.#editor = editor;
  }

  get #state() {
    return this.#store.state;
  }

  get #selected() {
    return instanceAt(this.#state, this.#state.cursor);
  }

  #pendingOf(edit) {
    const { pending, instances } = this.#state;
    return pending?.edit === edit ? (instances.find((one) => one.key === pending.key) ?? null) : null;
  }

  /** The first press marks the selected instance, the second makes it one with the instance selected then. */
  merge() {
    const { instances } = this.#state;
    const [first, second] = [this.#pendingOf("merge"), this.#selected];
    if (!second) return first ? "Select the other instance (J, K or the list), then press once more." : SELECT_ONE;
    if (instances.length < 2) return "There is no second instance to merge this one with.";
    if (instances.length === 2) return this.#merge(...instances);
    if (first && first !== second) return this.#merge(first, second);
    this.#store.set({ pending: first ? null : { edit: "merge", key: second.key } });
    const place = instances.indexOf(second) + 1;
    return first ? "Given up." : `Instance ${place} and which other? Select it, press once more; Esc gives up.`;
  }

  #merge(first, second) {
    const [a, b] = [first, second].map((one) => this.#state.instances.indexOf(one) + 1);
    this.#store.set({ pending: null });
    this.#editor.apply("merge", withMerged(this.#state, first, second));
    return `Instances ${a} and ${b} are one now.`;
  }

  /** To the other concept at once where there are two; else the next number says to which. */
  transfer(edit) {
    if (!isPass(this.#state)) return NO_OTHER;
    if (!this.#selected) return SELECT_ONE;
    const others = othersOf(this.#state);
    if (others.length === 1) return this.#transfer(edit, this.#selected, others[0]);
    this.#store.set({ pending: { edit, key: this.#selected.key } });
    return `${edit === "copy" ? "Copy" : "Move"} to which concept? Press its number or its button; Esc gives up.`;
  }

  #transfer(edit, instance, { taskId, name }) {
    const { patch, label, done } = TRANSFERS[edit];
    this.#store.set({ pending: null });
    if (taskId === this.#state.taskId) return `It is ${name} already.`;
    if (holdsSame(this.#state.parked[taskId], instance)) return `The same mask is marked as ${name} already.`;
    this.#editor.apply(`${label} to ${name}`, patch(this.#state, taskId, instance, this.#editor.newKey()));
    return `${done} to ${name}.`;
  }

  /** A concept's number: where to copy or move to, if that was asked; else what is to be in hand. */
  number(number) {
    if (!isPass(this.#state)) return null;
    const named = this.#state.group.find((one) => one.number === number);
    if (!named) return `Concept ${number} is not asked for here: it is settled, in other hands, or there is none.`;
    for (const edit of Object.keys(TRANSFERS)) {
      const instance = this.#pendingOf(edit);
      if (instance) return this.#transfer(edit, instance, named);
    }
    return this.choose(named.taskId);
  }

  choose(taskId) {
    const { name } = conceptOf(this.#state, taskId);
    const { hand } = this.#state;
    if (taskId === this.#state.taskId) return `${name} is in hand.`;
    // The answer would find another hand, and the mask that is being fixed would be without it.
    if (hand?.state === "waiting" && (hand.replaces !== null || hand.proposal !== null))
      return "The model is still drawing; a moment.";
    this.#editor.apply("", choosing(this.#state, taskId), { isSilent: true });
    return this.#state.hand && this.#state.hand === hand ? `The mask in hand is ${name} now.` : `${name} in hand.`;
  }

  /** Say that the concept in hand is not in the image, and go to the next that is not decided. */
  sayAbsent() {
    const { name } = conceptOf(this.#state);
    this.#editor.apply(`${name} not in this image`, { absent: true, instances: [], hand: null, pending: null });
    const next = nextUndecided(this.#state);
    if (!next) return `${name}: not in this image. All is decided: Space submits.`;
    this.choose(next.taskId);
    return `${name}: not in this image. Next: ${next.name}.`;
  }

  /** To the next concept that is not decided, with a sentence; null when all are. */
  goToUndecided() {
    if (decisionOf(this.#state) === "undecided") {
      const { name } = conceptOf(this.#state);
      return `${name} is not decided: accept or click, or press N if it is not in this image.`;
    }
    const next = nextUndecided(this.#state);
    if (!next) return null;
    this.choose(next.taskId);
    return `Not decided yet: ${next.name}.`;
  }
}
