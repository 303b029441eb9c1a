/**
 * Edits on one image, with undo: proposals accepted or rejected, instances, the mask in hand. No page, no network.
 * An edit answers with a sentence for the status line where there is one.
 */

import {
  borderWords,
  emptyHand,
  handFrom,
  withAnswer,
  withBorder,
  withBox,
  withCandidate,
  withErased,
  withFailure,
  withHolesFilled,
  withPaint,
  withPixelLess,
  withPixelMore,
  withPrompt,
} from "./hand.js";
import { createHistory } from "./history.js";
import { isEmpty, maskParts } from "../mask/masks.js";
import { wireFromMask } from "../mask/rle.js";
import {
  cursorAfter,
  describeCursor,
  EMPTY_WORK,
  handForClick,
  handForErasing,
  handForPaint,
  instanceAt,
  instanceCursor,
  itemAt,
  newProposals,
  openProposals,
  proposalStatus,
  sameCursor,
  stopsOf,
  withAccepted,
  withHandAccepted,
  workFrom,
} from "./work.js";

/** @import { WorkStore } from "./work.js" */

const SELECT_FIRST = "Select a proposal or an instance first (J, K or the list).";

export class Editor {
  /** @type {WorkStore} */
  #store;
  #history = createHistory();
  #tokens = 0;
  #keys = 0;

  /** @param {WorkStore} store */
  constructor(store) {
    this.#store = store;
  }

  get #work() {
    return this.#store.state;
  }

  /** Start on another image; `work` = what is decided there already. */
  load({ task, proposals, work }) {
    this.open({ taskId: task.id, image: task.image, works: { [task.id]: workFrom(proposals, work) } });
  }

  /** Start on another image with one or more concepts: `works` = {task id: work}, `taskId` the one in hand. */
  open({ taskId, image, works, group = [] }) {
    const { [taskId]: chosen, ...parked } = works;
    this.#history.clear();
    this.#store.set({ ...EMPTY_WORK, taskId, image, group, ...chosen, parked: Object.freeze(parked) });
  }

  select(cursor) {
    this.#store.set({ cursor });
  }

  move(step) {
    const stops = stopsOf(this.#work);
    if (!stops.length) return "There is nothing to walk through yet.";
    const at = stops.findIndex((stop) => sameCursor(stop, this.#work.cursor));
    const next = at < 0 ? (step > 0 ? 0 : stops.length - 1) : (at + step + stops.length) % stops.length;
    this.select(stops[next]);
    return describeCursor(this.#work);
  }

  /** Proposals */

  accept() {
    const { hand, cursor } = this.#work;
    if (hand) return this.acceptHand();
    if (cursor?.kind === "proposal") return this.acceptProposal(cursor.key);
    return "There is nothing to accept: click an object, or walk to a proposal with J.";
  }

  acceptProposal(index) {
    if (["accepted", "covered"].includes(proposalStatus(this.#work, index))) return "This proposal is settled already.";
    this.#edit(
      "accept proposal",
      withAccepted(this.#work, [index], () => this.newKey()),
      index,
    );
    return `Proposal ${index + 1} accepted.`;
  }

  autoAccept(threshold) {
    const chosen = openProposals(this.#work).filter(({ score }) => score >= threshold);
    if (!chosen.length) return `No open proposal scores ${threshold.toFixed(2)} or more.`;
    const indices = chosen.map(({ index }) => index);
    this.#edit(
      "auto-accept",
      withAccepted(this.#work, indices, () => this.newKey()),
      -1,
    );
    return `${chosen.length} accepted with a score of ${threshold.toFixed(2)} or more.`;
  }

  reject() {
    const { cursor, instances, rejected } = this.#work;
    const instance = instanceAt(this.#work, cursor);
    const index = instance ? instance.proposal : cursor?.kind === "proposal" ? cursor.key : null;
    if (index === null) return "There is no proposal to reject here; Delete removes an instance.";
    if (rejected.includes(index)) return "This proposal is rejected already.";
    const patch = {
      rejected: [...rejected, index].sort((a, b) => a - b),
      instances: instances.filter((one) => one !== instance),
    };
    this.#edit("reject", patch, index);
    const isRecorded = !this.#work.proposals[index].exemplars;
    return `Proposal ${index + 1} rejected${isRecorded ? ": recorded as a false positive" : ""}.`;
  }

  /** What the model found with examples, as further proposals; one undo takes them off. */
  addFound(found, exemplars) {
    const { proposals } = this.#work;
    const added = newProposals(this.#work, found);
    if (!added.length) {
      this.#store.set({ exemplars });
      return "No more found: the model sees nothing else like this.";
    }
    const cursor = { kind: "proposal", key: added[0].index };
    this.#edit("find more", { proposals: [...proposals, ...added], exemplars, cursor });
    return `${added.length} more found: Enter accepts, X rejects, J and K walk.`;
  }

  /** Instances */

  remove() {
    const instance = instanceAt(this.#work, this.#work.cursor);
    if (!instance) return "Select an instance first (J, K or the list).";
    this.#edit("remove", { instances: this.#work.instances.filter((one) => one !== instance) }, -1);
    return "Instance removed.";
  }

  take() {
    const item = itemAt(this.#work, this.#work.cursor);
    if (!item) return SELECT_FIRST;
    this.#edit("take", { hand: handFrom(item) });
    return "In hand: click, paint or erase to fix it; Enter accepts.";
  }

  /** Parts that do not touch become instances of their own. */
  split() {
    const { cursor, image, instances } = this.#work;
    const instance = instanceAt(this.#work, cursor);
    const parts = instance ? maskParts(instance.mask) : [];
    if (parts.length < 2) return "Select an instance that has parts which do not touch.";
    const made = parts.map((mask) => {
      const own = { key: this.newKey(), mask, wire: wireFromMask(mask, image), edited: true };
      return Object.freeze({ ...instance, ...own });
    });
    this.#edit("split", {
      instances: instances.flatMap((one) => (one === instance ? made : [one])),
      cursor: instanceCursor(made[0]),
    });
    return `Split into ${made.length} instances.`;
  }

  /** The mask in hand */

  acceptHand() {
    const { hand } = this.#work;
    if (hand.state === "waiting") return "The model is still drawing; a moment.";
    if (isEmpty(hand.mask)) return "The mask in hand is empty; click the object, or drop it with Esc.";
    const patch = withHandAccepted(this.#work, () => this.newKey());
    this.#edit("accept", patch, -1);
    const place = patch.instances.findIndex((one) => one.mask === hand.mask);
    return `Instance ${place + 1} accepted.`;
  }

  drop() {
    if (this.#work.pending) return this.#giveUp();
    if (!this.#work.hand) return null;
    this.#edit("drop", { hand: null });
    return "Mask dropped.";
  }

  /** What waited for its counterpart (counterparts.js) waits no more. */
  #giveUp() {
    this.#store.set({ pending: null });
    return "Given up.";
  }

  /** A click: adds to the mask in hand, or starts one. Answers null when the model is to be asked. */
  addPrompt(point) {
    const hand = handForClick(this.#work, point);
    if (!hand) return "There is nothing here to take away from: click an object first.";
    this.#edit("click", { hand: withPrompt(hand, point, ++this.#tokens) });
    return null;
  }

  setBox(box) {
    this.#edit("box", { hand: withBox(this.#work.hand ?? emptyHand(), box, ++this.#tokens) });
  }

  /** Ask again for prompts that came back by redo or from a draft without their answer. */
  askAgain() {
    const { hand } = this.#work;
    if (!hand?.prompts.length || hand.origin === "exemplar") return false;
    this.#store.set({ hand: Object.freeze({ ...hand, token: ++this.#tokens, state: "waiting" }) });
    return true;
  }

  /** The model's answer; false when the hand has moved on. It belongs to the click's own gesture. */
  answer(token, { candidates, modelVersion }) {
    const { hand } = this.#work;
    if (!hand || hand.token !== token) return false;
    const patch = { hand: withAnswer(hand, { candidates, modelVersion }) };
    this.#store.set(patch);
    this.#history.amend(patch);
    return true;
  }

  answerFailed(token) {
    const { hand } = this.#work;
    if (hand?.token === token) this.#store.set({ hand: withFailure(hand) });
  }

  cycleCandidate() {
    const { hand } = this.#work;
    if (!hand || hand.candidates.length < 2) return "There are no other candidates: one click alone gives three.";
    const index = (hand.candidate + 1) % hand.candidates.length;
    this.#edit("candidate", { hand: withCandidate(hand, index) });
    return `Candidate ${index + 1} of ${hand.candidates.length}, score ${hand.candidates[index].score.toFixed(2)}.`;
  }

  paint(mask) {
    if (isEmpty(mask)) return null;
    this.#edit("paint", { hand: withPaint(handForPaint(this.#work, mask), mask) });
    return "Painted: Enter accepts the mask in hand.";
  }

  erase(mask) {
    if (isEmpty(mask)) return null;
    const hand = handForErasing(this.#work, mask);
    if (!hand) return "There is no mask here to take pixels from.";
    this.#edit("erase", { hand: withErased(hand, mask) });
    return null;
  }

  /** The model's mask cut at another logit. Steps of one `gesture` (a key held down) are one undo. */
  setBorder(border, mask, gesture) {
    this.#editOf(gesture, "looser or tighter", { hand: withBorder(this.#work.hand, border, mask) });
    return `${borderWords(border)}.`;
  }

  /** Grow (1) or shrink (-1) the mask in hand, or the selected one, by a pixel. */
  movePixel(step, gesture) {
    const item = this.#work.hand ? null : itemAt(this.#work, this.#work.cursor);
    const hand = this.#work.hand ?? (item && handFrom(item));
    if (!hand) return "There is no mask to make tighter or looser: click an object first.";
    const moved = step > 0 ? withPixelMore(hand, this.#work.image) : withPixelLess(hand, this.#work.image);
    this.#editOf(gesture, "grow or shrink", { hand: moved });
    return `A pixel ${step > 0 ? "larger" : "smaller"} all around: the model can't draw this mask anew.`;
  }

  fillHoles() {
    const { hand } = this.#work;
    if (!hand) return "Take a mask in hand first (R).";
    this.#edit("fill holes", { hand: withHolesFilled(hand) });
    return "Holes filled.";
  }

  /** Undo */

  undo() {
    if (!this.#history.canUndo) return null;
    let entry = this.#history.undo();
    for (; entry.isSilent; entry = this.#history.undo()) this.#store.set(entry.before);
    this.#store.set(entry.before);
    return `Undone: ${entry.label}.`;
  }

  redo() {
    if (!this.#history.canRedo) return null;
    let entry = this.#history.redo();
    for (; entry.isSilent; entry = this.#history.redo()) this.#store.set(entry.after);
    this.#store.set(entry.after);
    return `Done again: ${entry.label}.`;
  }

  /** An edit that another module has worked out, as one gesture. */
  apply(label, patch, { isSilent = false } = {}) {
    const before = this.#store.set(patch);
    if (Object.keys(before).length) this.#history.record({ label, before, after: patch, isSilent });
  }

  newKey() {
    return `i${Date.now().toString(36)}${(this.#keys++).toString(36)}`;
  }

  /** One gesture. `settled`: the proposal it was about (-1: none), from which the cursor walks on. */
  #edit(label, patch, settled = null, gesture = null) {
    const after = settled === null ? patch : { ...patch, cursor: cursorAfter({ ...this.#work, ...patch }, settled) };
    const before = this.#store.set(after);
    if (Object.keys(before).length) this.#history.record({ label, gesture, before, after });
  }

  /** Part of a longer gesture: the first step is recorded, the others complete it. */
  #editOf(gesture, label, patch) {
    if (this.#history.newest?.gesture !== gesture) return this.#edit(label, patch, null, gesture);
    this.#store.set(patch);
    return this.#history.amend(patch);
  }
}
