/** Which concept's work goes into its draft when the state changes, and what happens when two states of one meet. */

import { counted } from "./answering.js";
import { workOn } from "../work/concepts.js";
import { askWhichDraft } from "../page/dialogs.js";
import { draftOf, handDraft, handFromDraft, workFromDraft } from "../work/payload.js";
import { workFrom } from "../work/work.js";

/** @import { Editor } from "../work/editor.js" */
/** @import { WorkStore } from "../work/work.js" */
/** @import { createTimes } from "./active-seconds.js" */
/** @import { Drafts } from "./drafts.js" */
/**
 * @typedef {object} DraftingParts
 * @property {WorkStore} store
 * @property {Editor} editor
 * @property {Drafts} drafts
 * @property {ReturnType<typeof createTimes>} times
 * @property {{draft: HTMLDialogElement}} dialogs
 */

const SETTLED = ["instances", "rejected", "proposals", "absent"];

export class Drafting {
  /** @type {DraftingParts} */
  #parts;
  #saved = null; // the state whose work is kept

  /** @param {DraftingParts} parts */
  constructor(parts) {
    this.#parts = parts;
  }

  /** Put a task's concepts on the desk as they were left: {works, seconds, others: what needs a choice}. */
  open(members) {
    const opened = members.map((member) => ({ ...member, ...this.#parts.drafts.open(member.task) }));
    return {
      works: Object.fromEntries(opened.map((one) => [one.task.id, workOf(one, members.length > 1)])),
      seconds: opened.map(({ task, payload }) => [task.id, payload?.active_seconds ?? 0]),
      others: opened.filter(({ other }) => other).map(({ task, other, payload }) => [task.id, other, payload]),
    };
  }

  /** What is in the store now came from drafts, or is not this person's to keep. */
  settle() {
    this.#saved = this.#parts.store.state;
  }

  save(state) {
    for (const { taskId } of state.group) this.#saveWork(taskId, workOn(state, taskId), workOn(this.#saved, taskId));
    this.#saved = state;
  }

  #saveWork(taskId, now, before) {
    const { drafts, store, times } = this.#parts;
    const { image } = store.state;
    if (SETTLED.some((key) => now[key] !== before[key]))
      drafts.save(taskId, draftOf({ ...now, image }, times.of(taskId)));
    if (now.hand !== before.hand) drafts.saveHand(taskId, handDraft(now.hand, image));
  }

  /** This browser holds work that never reached the server, which has newer work from elsewhere. */
  async chooseOlder(others, takeUp) {
    for (const [taskId, mine, theirs] of others) {
      const isMine = (await this.choose({ taskId, payload: theirs }, mine)) === "mine";
      if (isMine && takeUp(taskId, mine)) this.#keep(taskId);
    }
  }

  /** The dialog for two states of one draft. */
  choose({ taskId, payload }, mine = null) {
    const { dialogs, store } = this.#parts;
    const ours = mine ?? workOn(store.state, taskId);
    const texts = { mine: `Keep mine: ${countOf(ours)}`, theirs: `Take the other: ${countOf(payload)}` };
    return askWhichDraft(dialogs.draft, texts);
  }

  /** Another state of one concept's draft takes the place of what is on screen. */
  takeUp({ task, proposals }, payload) {
    const { store, editor } = this.#parts;
    const { state } = store;
    const works = Object.fromEntries(state.group.map(({ taskId }) => [taskId, workOn(state, taskId)]));
    works[task.id] = workFrom(proposals, workFromDraft(payload));
    editor.open({ ...state, works });
  }

  #keep(taskId) {
    const { drafts, store, times } = this.#parts;
    const { state } = store;
    drafts.save(taskId, draftOf({ ...workOn(state, taskId), image: state.image }, times.of(taskId)));
  }
}

/** A concept's work: its draft, else the earlier answer. Alone there is no «absent» to come back to: N submits. */
function workOf({ payload, hand, earlier, proposals }, isPass) {
  const work = workFromDraft(payload) ?? { ...earlier, hand: handFromDraft(hand) };
  return workFrom(proposals, { ...work, absent: isPass && Boolean(work.absent) });
}

const countOf = (work) => counted(work?.instances?.length ?? 0);
