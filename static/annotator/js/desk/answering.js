/** The rules of Space and N: what is still to be decided, what is asked twice, and what is sent. */

import { conceptOf, decisionOf, isPass, othersOf, workOn } from "../work/concepts.js";
import { answerOf } from "../work/payload.js";
import { newUuid } from "./session.js";
import { openProposals } from "../work/work.js";

/** @import { Counterparts } from "../work/counterparts.js" */
/** @import { Editor } from "../work/editor.js" */
/** @import { WorkStore } from "../work/work.js" */
/** @import { createTimes } from "./active-seconds.js" */
/** @import { Outbox } from "./outbox.js" */
/** @import { createSession } from "./session.js" */
/**
 * @typedef {object} AnsweringParts
 * @property {WorkStore} store
 * @property {Editor} editor
 * @property {Counterparts} counterparts
 * @property {Outbox} outbox
 * @property {ReturnType<typeof createSession>} session
 * @property {ReturnType<typeof createTimes>} times
 * @property {() => any} current what is on the desk, see feed.js
 * @property {() => string | null} whyNot
 * @property {(event: Event) => void} onSent
 */

const DOUBLE_PRESS_MS = 300; // nobody has looked at the next image by then
const TWICE = "Pressed twice? This is the next image already.";
const NOTHING_YET = "Nothing is accepted yet. If it is not in this image, press N.";
const EMPTY_HAND = "The mask in hand is empty: click the object, or drop it with Esc.";
const LEFT_OPEN = "still undecided: Enter accepts, X rejects. Space once more submits without deciding.";

export class Answering {
  /** @type {AnsweringParts} */
  #parts;
  #submittedAt = -Infinity;
  #warned = null; // what the person was asked to confirm by pressing the same key again

  /** @param {AnsweringParts} parts */
  constructor(parts) {
    this.#parts = parts;
    parts.store.subscribe(() => (this.#warned = null));
  }

  get #state() {
    return this.#parts.store.state;
  }

  /** Space: submit, or say what is missing. */
  present(event) {
    const reason = this.#whyNot() ?? this.#handInTheWay() ?? this.#undecided() ?? this.#leftOpen();
    return reason ?? this.#send(event);
  }

  /** N: alone it submits; in one pass it decides the concept in hand and goes on to the next. */
  absent(event) {
    const reason = this.#whyNot();
    if (reason) return reason;
    const { instances, hand } = this.#state;
    const count = instances.length + (hand ? 1 : 0);
    if (count && this.#warned !== "absent") {
      this.#warned = "absent";
      return `You have ${counted(count)}. N once more drops that and says: not in this image.`;
    }
    return isPass(this.#state) ? this.#parts.counterparts.sayAbsent() : this.#send(event, { isAbsent: true });
  }

  #whyNot() {
    return performance.now() - this.#submittedAt < DOUBLE_PRESS_MS ? TWICE : this.#parts.whyNot();
  }

  #handInTheWay() {
    if (this.#state.hand?.state === "waiting") return "The model is still drawing; a moment.";
    if (this.#state.hand) this.#parts.editor.acceptHand();
    return this.#state.hand ? EMPTY_HAND : null;
  }

  /** Goes to the concept that is missing, where several are decided in one pass. */
  #undecided() {
    if (!isPass(this.#state)) return this.#state.instances.length ? null : NOTHING_YET;
    const { counterparts } = this.#parts;
    const sentence = counterparts.goToUndecided();
    if (sentence) return sentence;
    const fixing = othersOf(this.#state).find(({ taskId }) => workOn(this.#state, taskId).hand);
    if (!fixing) return null;
    counterparts.choose(fixing.taskId);
    return `A mask of ${fixing.name} is still in hand: Enter accepts, Esc drops it.`;
  }

  #leftOpen() {
    if (this.#warned === "open") return null;
    const { group } = this.#state;
    const left = group.filter((one) => this.#openOf(one.taskId).length);
    if (!left.length) return null;
    const count = left.reduce((sum, one) => sum + this.#openOf(one.taskId).length, 0);
    if (!left.includes(conceptOf(this.#state))) this.#parts.counterparts.choose(left[0].taskId);
    this.#warned = "open";
    const names = group.length > 1 ? ` (${left.map(({ name }) => name).join(", ")})` : "";
    return `${count} proposal${count > 1 ? "s" : ""}${names} ${count > 1 ? "are" : "is"} ${LEFT_OPEN}`;
  }

  #openOf(taskId) {
    return openProposals(workOn(this.#state, taskId));
  }

  /** Each concept's answer goes out by itself, under its own uuid. */
  #send(event, { isAbsent = false } = {}) {
    const { outbox, session, times, current, onSent } = this.#parts;
    const { task: lead, members } = current();
    this.#submittedAt = performance.now();
    const told = members.map(({ task: { id, attempt, concept } }) => {
      const work = workOn(this.#state, id);
      const isMissing = isAbsent || decisionOf(work) === "absent";
      const answer = answerOf(work, { isAbsent: isMissing, concept, seconds: times.of(id) });
      outbox.add(id, { attempt, client_uuid: newUuid(), ...answer }, lead.id);
      session.count({ taskId: id, instances: answer.instances.length, activeSeconds: answer.active_seconds });
      return { name: concept.name, isMissing, count: answer.instances.length };
    });
    onSent(event);
    return sentenceOf(told);
  }
}

export const counted = (count) => `${count} ${count === 1 ? "instance" : "instances"}`;

function sentenceOf(told) {
  const [{ isMissing, count }] = told;
  if (told.length === 1) return isMissing ? "Not in the image: submitted." : `Submitted: ${counted(count)}.`;
  return `Submitted: ${told.map((one) => `${one.name} ${one.isMissing ? "absent" : one.count}`).join(", ")}.`;
}
