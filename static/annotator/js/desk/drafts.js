/**
 * Unsubmitted work, kept twice: at once in this browser, and on the server as fast as it answers. A stored version
 * that is not the one this tab built on means that another tab was at work: then the person chooses.
 */

import { paths } from "../model/api-client.js";

/** @import { Api } from "../model/api-client.js" */
/** @import { Page } from "../page/page.js" */
/**
 * @typedef {object} DraftsParts
 * @property {Api} api
 * @property {Page['storage']} storage this browser's copy
 * @property {(theirs: {taskId: number, payload: any}) => Promise<string>} choose "mine" or "theirs"
 * @property {(taskId: number, payload: any) => unknown} onTheirs to take the other tab's state up
 * @property {(state: {kind: "saved" | "waiting" | "refused", message?: string}) => void} onState
 */

const RETRY_MS = [1000, 2000, 5000, 10_000, 30_000];
const NONE = { version: 0, payload: null };

export class Drafts {
  /** @type {DraftsParts} */
  #parts;
  #tracks = new Map(); // task id -> {version, payload, dirty, sending, timer, tries, closed}

  /** @param {DraftsParts} parts */
  constructor(parts) {
    this.#parts = parts;
  }

  /**
   * The newest work on a task: the server's draft, or this browser's copy where that is newer. `hand`: the mask in
   * hand, which only this browser knows; `other`: what this browser holds beside a newer draft of somewhere else.
   */
  open(task) {
    const { storage } = this.#parts;
    const server = task.draft ?? NONE;
    const held = storage.get(task.id);
    const arrived = held?.dirty && isSame(held.payload, server.payload); // its answer did not
    if (arrived) storage.remove(task.id);
    const mirror = arrived ? null : held;
    // The answer that carried the task may be older than what this tab has stored since.
    const isOurs = mirror && (mirror.version > server.version || (mirror.dirty && mirror.version === server.version));
    const { version, payload } = isOurs ? mirror : server;
    const track = {
      version,
      payload,
      dirty: Boolean(isOurs && mirror.dirty),
      sending: null,
      timer: null,
      tries: 0,
      closed: false,
    };
    this.#tracks.set(task.id, track);
    this.#pump(task.id, track);
    const hand = storage.get(`${task.id}:hand`);
    const other = mirror?.dirty && mirror.version < server.version ? mirror.payload : null;
    return { payload: hand && payload ? { ...payload, hand } : payload, hand, other };
  }

  save(taskId, payload) {
    const track = this.#tracks.get(taskId);
    if (!track || track.closed) return;
    Object.assign(track, { payload, dirty: true });
    this.#mirror(taskId, track);
    this.#parts.storage.remove(`${taskId}:hand`);
    this.#pump(taskId, track);
  }

  /** The mask in hand changes at every click: only this browser's copy is written then, and it is small. */
  saveHand(taskId, hand) {
    if (hand) this.#parts.storage.set(`${taskId}:hand`, hand);
    else this.#parts.storage.remove(`${taskId}:hand`);
  }

  /** No more drafts for this task: it is being submitted. Resolves when none is under way. */
  async close(taskId) {
    const track = this.#tracks.get(taskId);
    if (!track) return;
    track.closed = true;
    clearTimeout(track.timer);
    await track.sending;
  }

  /** Submitted and acknowledged: nothing needs keeping. */
  forget(taskId) {
    this.#tracks.delete(taskId);
    this.#parts.storage.remove(taskId);
    this.#parts.storage.remove(`${taskId}:hand`);
  }

  #mirror(taskId, { version, payload, dirty }) {
    this.#parts.storage.set(taskId, { version, payload, dirty });
  }

  /** Send what is unsent, one at a time a task; what comes meanwhile goes next, as one. */
  #pump(taskId, track) {
    if (track.sending || !track.dirty || track.closed) return;
    clearTimeout(track.timer);
    track.sending = this.#send(taskId, track).finally(() => {
      track.sending = null;
      if (!track.timer) this.#pump(taskId, track);
    });
  }

  async #send(taskId, track) {
    const { payload, version } = track;
    try {
      const answer = await this.#parts.api.put(paths.task(taskId, "draft"), { version, payload });
      this.#stored(taskId, track, payload, answer.version);
    } catch (error) {
      if (error.code === "draft_conflict") await this.#settle(taskId, track, payload, error.fields);
      else if (error.isPassing || error.status === 401) this.#later(taskId, track, error);
      else this.#stop(track, error);
    }
  }

  #stored(taskId, track, payload, version) {
    Object.assign(track, { version, tries: 0, dirty: track.payload !== payload });
    if (track.closed) return;
    this.#mirror(taskId, track);
    this.#parts.onState({ kind: "saved" });
  }

  async #settle(taskId, track, sent, { version, payload }) {
    if (isSame(payload, sent)) return this.#stored(taskId, track, sent, version);
    if (payload && (await this.#parts.choose({ taskId, payload })) === "theirs") {
      Object.assign(track, { version, payload, dirty: false });
      this.#mirror(taskId, track);
      return this.#parts.onTheirs(taskId, payload);
    }
    track.version = version; // still unsent: it goes out over the other
    return undefined;
  }

  #later(taskId, track, error) {
    const delay = error.retryAfterMs ?? RETRY_MS[Math.min(track.tries++, RETRY_MS.length - 1)];
    this.#parts.onState({ kind: "waiting", message: error.message });
    track.timer = setTimeout(() => {
      track.timer = null;
      this.#pump(taskId, track);
    }, delay);
  }

  #stop(track, error) {
    track.dirty = false; // asking again would be refused again; this browser's copy still has it
    this.#parts.onState({ kind: "refused", message: error.message });
  }
}

/** Our own earlier try whose answer got lost is no conflict. A database may give the keys back in another order. */
const isSame = (first, second) => JSON.stringify(first, sorted) === JSON.stringify(second, sorted);

const sorted = (_key, value) =>
  value?.constructor === Object ? Object.fromEntries(Object.entries(value).sort()) : value;
