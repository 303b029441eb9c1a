/** Work on a task as drafts and submissions carry it, and back. */

import { emptyHand, handFrom, handIsEdited } from "./hand.js";
import { isEmpty } from "../mask/masks.js";
import { maskFromWire, wireFromMask } from "../mask/rle.js";
import { proposedAtFirst } from "./work.js";

/** @import { Instance } from "./work.js" */

/** Instances as the API's `Instance`. */
export const wireInstances = (instances) =>
  instances.map(({ wire, origin, prompts, modelVersion, score, edited }) => ({
    mask: wire,
    origin,
    prompts,
    model_version: modelVersion,
    score: score === null ? null : Math.min(1, Math.max(0, score)),
    edited,
  }));

/** A submission: what is decided about one concept, without the lease's attempt and the uuid. */
export function answerOf(work, { isAbsent, concept, seconds }) {
  const rejected = isAbsent ? work.proposals.map(({ index }) => index) : work.rejected;
  return {
    concept: concept.name,
    verdict: isAbsent ? "absent" : "present",
    instances: isAbsent ? [] : wireInstances(work.instances),
    rejected_proposals: proposedAtFirst(rejected, work),
    active_seconds: seconds,
  };
}

/**
 * I -> instances of the editor; `extra(i)` adds what I does not carry.
 * @param {any[]} rows
 * @param {(i: number) => Partial<Instance>} [extra]
 * @returns {Instance[]}
 */
export function instancesFromWire(rows, extra = () => ({})) {
  return rows.map((row, i) =>
    Object.freeze({
      key: `w${i}`,
      mask: maskFromWire(row.mask),
      wire: row.mask,
      origin: row.origin,
      prompts: row.prompts ?? [],
      modelVersion: row.model_version ?? null,
      score: row.score ?? null,
      edited: Boolean(row.edited),
      proposal: null,
      covers: [],
      ...extra(i),
    }),
  );
}

/** The draft: everything but the images of the masks that can be asked for again. */
export function draftOf(state, activeSeconds) {
  return {
    instances: wireInstances(state.instances),
    links: state.instances.map(({ key, proposal, covers }) => ({ key, proposal, covers })),
    rejected_proposals: state.rejected,
    found: state.proposals.filter(({ exemplars }) => exemplars).map(({ mask: _, ...rest }) => rest),
    exemplars: state.exemplars,
    hand: handDraft(state.hand, state.image),
    ...(state.absent ? { absent: true } : {}),
    active_seconds: Math.round(activeSeconds * 10) / 10,
  };
}

/** The mask in hand: its prompts, and its pixels where they can't be asked for again. */
export function handDraft(hand, image) {
  if (!hand) return null;
  const { prompts, origin, replaces, proposal, score, modelVersion } = hand;
  const mask = isEmpty(hand.mask) ? null : wireFromMask(hand.mask, image);
  return { prompts, origin, replaces, proposal, score, modelVersion, mask, edited: handIsEdited(hand) };
}

/** A draft's payload -> the editor's work; null when it holds none (a fresh or a foreign payload). */
export function workFromDraft(payload) {
  const answer = payload?.instances ? payload : payload?.submission;
  if (!answer?.instances) return null;
  const links = payload.links ?? [];
  return {
    instances: instancesFromWire(answer.instances, (i) => links[i] ?? {}),
    rejected: answer.rejected_proposals ?? [],
    found: (payload.found ?? []).map((one) => ({ ...one, mask: maskFromWire(one.wire) })),
    exemplars: payload.exemplars ?? [],
    hand: handFromDraft(payload.hand),
    absent: Boolean(payload.absent),
    cursor: null,
  };
}

export function handFromDraft(kept) {
  if (!kept) return null;
  const { mask, ...rest } = kept;
  return handFrom({ ...emptyHand(), ...rest, mask: mask ? maskFromWire(mask) : emptyHand().mask });
}
