/**
 * What one person decides about one image: proposals accepted or rejected, instances, the mask in hand; with undo.
 * No page, no network: deeds in, state out. Deeds answer with a sentence for the status line where there is one.
 */

import {
  emptyHand,
  handFrom,
  handIsEdited,
  withAnswer,
  withBox,
  withCandidate,
  withErased,
  withFailure,
  withHolesFilled,
  withPaint,
  withPrompt,
} from "./hand.js";
import { createHistory } from "./history.js";
import { isEmpty, maskContains, maskIou, maskParts } from "./masks.js";
import { maskFromWire, wireFromMask } from "./rle.js";

const SAME_OBJECT_IOU = 0.5;

export const EMPTY_WORK = Object.freeze({
  taskId: null,
  image: null, // {width, height}
  proposals: [], // [{index, score, stability, mask, wire}]
  instances: [], // [{key, mask, wire, origin, prompts, modelVersion, score, edited, proposal, covers}]
  rejected: [], // indices of proposals called false positives
  hand: null,
  cursor: null, // {kind: "proposal" | "instance", key}
});

export function createEditor(store) {
  const history = createHistory();
  let tokens = 0;
  let keys = 0;
  const state = () => store.state;

  function deed(label, patch) {
    const before = store.set(patch);
    if (Object.keys(before).length) history.record({ label, before, after: patch });
  }

  const statusOf = (index) => proposalStatus(state(), index);
  const openAfter = (index, patch) => firstOpen({ ...state(), ...patch }, index);

  return {
    history,
    statusOf,
    load({ task, proposals, work }) {
      history.clear();
      store.set({ ...EMPTY_WORK, taskId: task.id, image: task.image, proposals, ...work });
      if (!state().cursor) store.set({ cursor: firstOpen(state(), -1) ?? instanceCursor(state().instances[0]) });
    },

    accept() {
      const { hand, cursor } = state();
      if (hand) return this.acceptHand();
      if (cursor?.kind === "proposal") return this.acceptProposal(cursor.key);
      return "There is nothing to accept: click an object, or walk to a proposal with J.";
    },

    acceptHand() {
      const { hand, instances } = state();
      if (hand.state === "waiting") return "The model is still drawing; a moment.";
      if (isEmpty(hand.mask)) return "The mask in hand is empty; click the object, or drop it with Esc.";
      const instance = instanceFromHand(hand, state(), hand.replaces ?? nextKey());
      const isNew = !instances.some((one) => one.key === instance.key);
      const patch = {
        hand: null,
        instances: isNew ? [...instances, instance] : instances.map((one) => (one.key === instance.key ? instance : one)),
        rejected: state().rejected.filter((index) => index !== instance.proposal),
      };
      deed("accept", { ...patch, cursor: openAfter(-1, patch) ?? { kind: "instance", key: instance.key } });
      return `Instance ${state().instances.findIndex((one) => one.key === instance.key) + 1} accepted.`;
    },

    acceptProposal(index) {
      if (["accepted", "covered"].includes(statusOf(index))) return "This proposal is settled already.";
      const patch = acceptedPatch(state(), [index], nextKey);
      deed("accept proposal", { ...patch, cursor: openAfter(index, patch) ?? instanceCursor(patch.instances.at(-1)) });
      return `Proposal ${index + 1} accepted.`;
    },

    autoAccept(threshold) {
      const chosen = openProposals(state()).filter((proposal) => proposal.score >= threshold);
      if (!chosen.length) return `No open proposal scores ${threshold.toFixed(2)} or more.`;
      const patch = acceptedPatch(state(), chosen.map((proposal) => proposal.index), nextKey);
      deed("auto-accept", { ...patch, cursor: openAfter(-1, patch) ?? instanceCursor(patch.instances.at(-1)) });
      return `${chosen.length} accepted with a score of ${threshold.toFixed(2)} or more.`;
    },

    reject() {
      const { cursor, instances } = state();
      const instance = cursor?.kind === "instance" ? instances.find((one) => one.key === cursor.key) : null;
      const index = instance ? instance.proposal : cursor?.kind === "proposal" ? cursor.key : null;
      if (index === null) return "There is no proposal to reject here; Delete removes an instance.";
      if (statusOf(index) === "rejected") return "This proposal is rejected already.";
      const patch = {
        rejected: [...state().rejected, index].sort((a, b) => a - b),
        instances: instance ? instances.filter((one) => one !== instance) : instances,
      };
      deed("reject", { ...patch, cursor: openAfter(index, patch) });
      return `Proposal ${index + 1} rejected: recorded as a false positive.`;
    },

    move(step) {
      const stops = walk(state());
      if (!stops.length) return "There is nothing to walk through yet.";
      const at = stops.findIndex((stop) => sameCursor(stop, state().cursor));
      const next = at < 0 ? (step > 0 ? 0 : stops.length - 1) : (at + step + stops.length) % stops.length;
      store.set({ cursor: stops[next] });
      return describeCursor(state());
    },

    select: (cursor) => void store.set({ cursor }),

    remove() {
      const { cursor, instances } = state();
      if (cursor?.kind !== "instance") return "Select an instance first (J, K or the list).";
      const patch = { instances: instances.filter((one) => one.key !== cursor.key) };
      deed("remove", { ...patch, cursor: openAfter(-1, patch) ?? instanceCursor(patch.instances.at(-1)) });
      return "Instance removed.";
    },

    take() {
      const item = itemAt(state(), state().cursor);
      if (!item) return "Select a proposal or an instance first (J, K or the list).";
      deed("take", { hand: handFrom(item) });
      return "In hand: click, paint or erase to mend it; Enter accepts.";
    },

    drop() {
      if (!state().hand) return null;
      deed("drop", { hand: null });
      return "Mask dropped.";
    },

    /** A click: adds to the mask in hand, or starts one. Answers null when the model is to be asked. */
    addPrompt(point) {
      const hand = state().hand ?? startFor(state(), point);
      if (!hand) return "There is nothing here to take away from: click an object first.";
      deed("click", { hand: withPrompt(hand, point, ++tokens) });
      return null;
    },

    setBox(box) {
      deed("box", { hand: withBox(state().hand ?? emptyHand(), box, ++tokens) });
    },

    /** Ask again for prompts that came back by redo or from a draft without their answer. */
    askAgain() {
      const { hand } = state();
      if (!hand || (!hand.prompts.length && !hand.box)) return false;
      store.set({ hand: Object.freeze({ ...hand, token: ++tokens, state: "waiting" }) });
      return true;
    },

    /** The model's answer; false when the hand has moved on. */
    answer(token, { candidates, modelVersion }) {
      const { hand } = state();
      if (!hand || hand.token !== token) return false;
      const patch = { hand: withAnswer(hand, { candidates, modelVersion }) };
      store.set(patch);
      history.amend(patch);
      return true;
    },

    answerFailed(token) {
      const { hand } = state();
      if (hand?.token === token) store.set({ hand: withFailure(hand) });
    },

    cycleCandidate() {
      const { hand } = state();
      if (!hand || hand.candidates.length < 2) return "There are no other candidates: one click alone gives three.";
      const index = (hand.candidate + 1) % hand.candidates.length;
      deed("candidate", { hand: withCandidate(hand, index) });
      return `Candidate ${index + 1} of ${hand.candidates.length}.`;
    },

    paint(mask) {
      if (!isEmpty(mask)) deed("paint", { hand: withPaint(handForPaint(state(), mask), mask) });
    },

    erase(mask) {
      const hand = state().hand ?? handUnder(state(), mask);
      if (!hand) return "There is no mask here to take pixels from.";
      if (!isEmpty(mask)) deed("erase", { hand: withErased(hand, mask) });
      return null;
    },

    fillHoles() {
      const { hand } = state();
      if (!hand) return "Take a mask in hand first.";
      deed("fill holes", { hand: withHolesFilled(hand) });
      return "Holes filled.";
    },

    undo: () => step(history.undo(), "before"),
    redo: () => step(history.redo(), "after"),
  };

  function nextKey() {
    return `i${Date.now().toString(36)}${(keys++).toString(36)}`;
  }

  function step(entry, side) {
    if (!entry) return null;
    store.set(entry[side]);
    return side === "before" ? `Undone: ${entry.label}.` : `Done again: ${entry.label}.`;
  }
}

const instanceCursor = (instance) => (instance ? { kind: "instance", key: instance.key } : null);

const sameCursor = (a, b) => a?.kind === b?.kind && a?.key === b?.key;

/** open, accepted, rejected, or covered: a mask accepted by hand lies on the same object. */
export function proposalStatus({ instances, rejected }, index) {
  if (rejected.includes(index)) return "rejected";
  if (instances.some((one) => one.proposal === index)) return "accepted";
  return instances.some((one) => one.covers.includes(index)) ? "covered" : "open";
}

export const openProposals = (state) => state.proposals.filter(({ index }) => proposalStatus(state, index) === "open");

/** Where J and K stop: the open proposals, best first, then the instances. */
function walk(state) {
  const proposals = openProposals(state).map(({ index }) => ({ kind: "proposal", key: index }));
  return [...proposals, ...state.instances.map(instanceCursor)];
}

/** The open proposal after `index`, around the end; null when all are settled. */
function firstOpen(state, index) {
  const open = openProposals(state);
  const found = open.find((proposal) => proposal.index > index) ?? open[0];
  return found ? { kind: "proposal", key: found.index } : null;
}

function describeCursor(state) {
  const { cursor } = state;
  if (cursor.kind === "instance") return `Instance ${state.instances.findIndex((one) => one.key === cursor.key) + 1}.`;
  const proposal = state.proposals[cursor.key];
  return `Proposal ${cursor.key + 1} of ${state.proposals.length}, score ${proposal.score.toFixed(2)}.`;
}

/** The proposal or instance under the cursor in the shape that `handFrom` takes. */
export function itemAt(state, cursor) {
  if (cursor?.kind === "proposal") {
    const proposal = state.proposals[cursor.key];
    return proposal && { ...proposal, prompts: [], origin: "proposal", edited: false, replaces: null, proposal: proposal.index };
  }
  const instance = state.instances.find((one) => one.key === cursor?.key);
  return instance && { ...instance, replaces: instance.key };
}

function acceptedPatch(state, indices, nextKey) {
  const added = indices.map((index) => {
    const { mask, wire, score, modelVersion } = state.proposals[index];
    const fixed = { origin: "proposal", prompts: [], edited: false, covers: [] };
    return Object.freeze({ key: nextKey(), mask, wire, score, modelVersion, proposal: index, ...fixed });
  });
  return {
    instances: [...state.instances, ...added],
    rejected: state.rejected.filter((index) => !indices.includes(index)),
  };
}

function instanceFromHand(hand, state, key) {
  const open = openProposals(state).filter(({ index, mask }) => index !== hand.proposal && maskIou(mask, hand.mask) > SAME_OBJECT_IOU);
  const { mask, origin, prompts, modelVersion, score, proposal } = hand;
  const wire = wireFromMask(mask, state.image);
  const covers = open.map(({ index }) => index);
  const edited = handIsEdited(hand);
  return Object.freeze({ key, mask, wire, origin, prompts, modelVersion, score, edited, proposal, covers });
}

/** A first click: a new object; a first *subtracting* click: the object that lies there, taken in hand. */
function startFor(state, point) {
  if (point.label === 1) return emptyHand();
  const item = itemUnder(state, (mask) => maskContains(mask, point));
  return item ? handFrom(item) : null;
}

/** Paint goes on the selected item when it touches it, else it starts a new mask. */
function handForPaint(state, mask) {
  const item = itemAt(state, state.cursor);
  return state.hand ?? (touches(item, mask) ? handFrom(item) : emptyHand());
}

function handUnder(state, stroke) {
  const item = itemUnder(state, (mask) => touches({ mask }, stroke));
  return item ? handFrom(item) : null;
}

const touches = (item, stroke) => Boolean(item) && maskIou(item.mask, stroke) > 0;

/** The item under the cursor first, then the newest instance, then the best open proposal. */
function itemUnder(state, isHit) {
  const stops = [state.cursor, ...state.instances.map(instanceCursor).reverse(), ...walk(state)];
  return stops.map((stop) => itemAt(state, stop)).find((item) => item && isHit(item.mask)) ?? null;
}

/** Proposals of a task, decoded. */
export function proposalsOf(task) {
  const { instances = [], model_version: modelVersion } = task.proposal ?? {};
  return instances.map((one, index) =>
    Object.freeze({ index, score: one.score, stability: one.stability, wire: one.mask, mask: maskFromWire(one.mask), modelVersion }),
  );
}

/** Instances that came from the server alone, tied again to the proposals that they settle. */
export function linkedToProposals(instances, proposals) {
  return instances.map((one) => {
    const same = one.origin === "proposal" ? proposals.find(({ mask }) => maskIou(mask, one.mask) === 1) : null;
    const covers = proposals.filter(({ mask }) => maskIou(mask, one.mask) > SAME_OBJECT_IOU).map(({ index }) => index);
    return Object.freeze({ ...one, proposal: same?.index ?? null, covers });
  });
}

/** The pieces of the mask in hand; used to split an object that a click took for one. */
export const handParts = (hand) => (hand ? maskParts(hand.mask) : []);
