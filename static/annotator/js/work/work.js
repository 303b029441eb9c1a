/** One person's work on one image as plain data, and the questions one asks of it. Pure. */

import { emptyHand, handFrom, handIsEdited } from "./hand.js";
import { isEmpty, maskContains, maskIou, maskUnion } from "../mask/masks.js";
import { maskFromWire, wireFromMask } from "../mask/rle.js";

/** @import { Mask, Size, WireMask } from "../mask/rle.js" */
/** @import { Hand, Prompt } from "./hand.js" */
/**
 * `exemplars`: it was found with these boxes.
 * @typedef {{index: number, score: number, stability: number, mask: Mask, wire: WireMask, modelVersion: string,
 *   exemplars?: number[][]}} Proposal
 */
/**
 * @typedef {{key: string, mask: Mask, wire: WireMask, origin: string, prompts: Prompt[], modelVersion: string | null,
 *   score: number | null, edited: boolean, proposal: number | null, covers: number[]}} Instance
 */
/** @typedef {{kind: "proposal", key: number} | {kind: "instance", key: string}} Cursor */
/** @typedef {{taskId: number, number: number, name: string, colour: string}} ConceptRow */
/**
 * @typedef {object} Work
 * @property {number | null} taskId
 * @property {Size | null} image
 * @property {Proposal[]} proposals
 * @property {number[][]} exemplars boxes of what was shown to the model as examples
 * @property {Instance[]} instances
 * @property {number[]} rejected indices of proposals called false positives
 * @property {Hand | null} hand
 * @property {Cursor | null} cursor
 * @property {boolean} absent said to be not in this image, where several concepts are decided in one pass
 * @property {ConceptRow[]} group all concepts that are decided in this pass
 * @property {Readonly<Record<number, Work>>} parked task id -> work, of those that are not in hand (concepts.js)
 * @property {{edit: string, key: string} | null} pending an instance that waits for its counterpart to be named
 */
/** @typedef {import("./store.js").Store<Work>} WorkStore */

const SAME_OBJECT_IOU = 0.5;

/** @type {Readonly<Work>} */
export const EMPTY_WORK = Object.freeze({
  taskId: null,
  image: null,
  proposals: [],
  exemplars: [],
  instances: [],
  rejected: [],
  hand: null,
  cursor: null,
  absent: false,
  group: [],
  parked: Object.freeze({}),
  pending: null,
});

/** One concept's work as it is taken up: its proposals, what was found later, and what is decided. */
export function workFrom(proposals, work) {
  const { found = [], ...decided } = work ?? {};
  const all = [...proposals, ...found.map((one, i) => Object.freeze({ ...one, index: proposals.length + i }))];
  const { exemplars, instances, rejected, hand, absent } = EMPTY_WORK;
  const whole = { exemplars, instances, rejected, hand, absent, ...decided, proposals: all };
  return Object.freeze({ ...whole, cursor: whole.cursor ?? cursorAfter(whole) });
}

/** Proposals of a task, decoded. */
export function proposalsOf(task) {
  const { instances = [], model_version: modelVersion } = task.proposal ?? {};
  return instances.map(({ score, stability, mask: wire }, index) =>
    Object.freeze({ index, score, stability, wire, mask: maskFromWire(wire), modelVersion }),
  );
}

/** open, accepted, rejected (all are, where the concept is absent), or covered: an accepted mask lies on the object. */
export function proposalStatus({ instances, rejected, absent }, index) {
  if (absent || rejected.includes(index)) return "rejected";
  if (instances.some((one) => one.proposal === index)) return "accepted";
  return instances.some((one) => one.covers.includes(index)) ? "covered" : "open";
}

export const openProposals = (work) => work.proposals.filter(({ index }) => proposalStatus(work, index) === "open");

export const instanceCursor = (instance) => (instance ? { kind: "instance", key: instance.key } : null);

export const sameCursor = (a, b) => a?.kind === b?.kind && a?.key === b?.key;

export const instanceAt = ({ instances }, cursor) =>
  cursor?.kind === "instance" ? (instances.find((one) => one.key === cursor.key) ?? null) : null;

/** Where J and K stop: the open proposals, best first, then the instances. */
export function stopsOf(work) {
  const proposals = openProposals(work).map(({ index }) => ({ kind: "proposal", key: index }));
  return [...proposals, ...work.instances.map(instanceCursor)];
}

/** The next open proposal after `index`, around the end; with none left, the newest instance. */
export function cursorAfter(work, index = -1) {
  const open = openProposals(work);
  const found = open.find((proposal) => proposal.index > index) ?? open[0];
  return found ? { kind: "proposal", key: found.index } : instanceCursor(work.instances.at(-1));
}

export function describeCursor(work) {
  const { cursor, instances, proposals } = work;
  if (cursor.kind === "instance") return `Instance ${instances.findIndex((one) => one.key === cursor.key) + 1}.`;
  return `Proposal ${cursor.key + 1} of ${proposals.length}, score ${proposals[cursor.key].score.toFixed(2)}.`;
}

/** The proposal or instance under a cursor in the shape that `handFrom` takes; null for none. */
export function itemAt(work, cursor) {
  const instance = instanceAt(work, cursor);
  if (instance) return { ...instance, replaces: instance.key };
  const proposal = cursor?.kind === "proposal" ? work.proposals[cursor.key] : null;
  return (
    proposal && {
      ...proposal,
      ...originOf(proposal),
      edited: false,
      replaces: null,
      proposal: proposal.index,
    }
  );
}

const originOf = ({ exemplars }) =>
  exemplars ? { origin: "exemplar", prompts: exemplars.map((box) => ({ box })) } : { origin: "proposal", prompts: [] };

/** What of `found` lies on nothing that is accepted, rejected, proposed or in hand; best first, numbered on. */
export function newProposals({ proposals, instances, hand }, found) {
  const taken = [...proposals, ...instances, ...(hand ? [hand] : [])].map(({ mask }) => mask);
  const added = [];
  for (const one of found) {
    if (isEmpty(one.mask) || taken.some((mask) => maskIou(mask, one.mask) > SAME_OBJECT_IOU)) continue;
    taken.push(one.mask);
    added.push(Object.freeze({ ...one, index: proposals.length + added.length }));
  }
  return added;
}

/** The proposals that came with the task: what was found later is no part of the stored prediction. */
export const proposedAtFirst = (indices, { proposals }) => indices.filter((index) => !proposals[index].exemplars);

/** The item under the cursor first, then the newest instance, then the best open proposal. */
function itemUnder(work, isHit) {
  const stops = [work.cursor, ...work.instances.map(instanceCursor).reverse(), ...stopsOf(work)];
  return stops.map((stop) => itemAt(work, stop)).find((item) => item && isHit(item.mask)) ?? null;
}

/** A first click starts a new object; a first *subtracting* click takes the object that lies there in hand. */
export function handForClick(work, point) {
  if (work.hand) return work.hand;
  if (point.label === 1) return emptyHand();
  const item = itemUnder(work, (mask) => maskContains(mask, point));
  return item && handFrom(item);
}

/** Paint goes on the selected item when it touches it, else it starts a new mask. */
export function handForPaint(work, stroke) {
  if (work.hand) return work.hand;
  const item = itemAt(work, work.cursor);
  return item && maskIou(item.mask, stroke) > 0 ? handFrom(item) : emptyHand();
}

export function handForErasing(work, stroke) {
  if (work.hand) return work.hand;
  const item = itemUnder(work, (mask) => maskIou(mask, stroke) > 0);
  return item && handFrom(item);
}

/** Instances and rejections after accepting these proposals as they are. */
export function withAccepted(work, indices, newKey) {
  const added = indices.map((index) => {
    const proposal = work.proposals[index];
    const { mask, wire, score, modelVersion } = proposal;
    const fixed = { ...originOf(proposal), proposal: index, edited: false, covers: [] };
    return Object.freeze({ key: newKey(), mask, wire, score, modelVersion, ...fixed });
  });
  const rejected = work.rejected.filter((index) => !indices.includes(index));
  return { instances: [...work.instances, ...added], rejected, absent: false };
}

/** Instances and rejections after accepting the mask in hand, in the place of the instance that it fixes. */
export function withHandAccepted(work, newKey) {
  const { instances, rejected, hand } = work;
  const instance = instanceFromHand(work, hand.replaces ?? newKey());
  const isNew = !instances.some(({ key }) => key === instance.key);
  return {
    hand: null,
    absent: false,
    instances: isNew ? [...instances, instance] : instances.map((one) => (one.key === instance.key ? instance : one)),
    rejected: rejected.filter((index) => index !== instance.proposal),
  };
}

function instanceFromHand(work, key) {
  const { hand, image } = work;
  const { mask, origin, modelVersion, score, proposal } = hand;
  const prompts = origin === "drawn" ? [] : hand.prompts; // clicks that no model answered made nothing of it
  const covers = coveredBy(mask, openProposals(work)).filter((index) => index !== proposal);
  const wire = wireFromMask(mask, image);
  return Object.freeze({
    key,
    mask,
    wire,
    origin,
    prompts,
    modelVersion,
    score,
    edited: handIsEdited(hand),
    proposal,
    covers,
  });
}

/** Two instances as one: the first, with the pixels and the clicks of both. */
export function withMerged(work, first, second) {
  const mask = maskUnion(first.mask, second.mask);
  const covers = [...first.covers, ...second.covers, ...coveredBy(mask, openProposals(work)), second.proposal];
  const merged = Object.freeze({
    ...first,
    mask,
    wire: wireFromMask(mask, work.image),
    prompts: [...first.prompts, ...second.prompts],
    edited: true,
    covers: [...new Set(covers)].filter((index) => index !== null && index !== first.proposal),
  });
  const instances = work.instances.map((one) => (one === first ? merged : one)).filter((one) => one !== second);
  return { instances, cursor: instanceCursor(merged) };
}

export const coveredBy = (mask, proposals) =>
  proposals.filter((proposal) => maskIou(proposal.mask, mask) > SAME_OBJECT_IOU).map(({ index }) => index);

/** Instances that came from the server alone, tied again to the proposals that they settle. */
export function linkedToProposals(instances, proposals) {
  return instances.map((one) => {
    const same = one.origin === "proposal" ? proposals.find(({ mask }) => maskIou(mask, one.mask) === 1) : null;
    return Object.freeze({ ...one, proposal: same?.index ?? null, covers: coveredBy(one.mask, proposals) });
  });
}
