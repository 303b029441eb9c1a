/**
 * Unsubmitted work, kept twice: at once in this browser, and on the server as fast as it answers. A stored version
 * that is not the one this tab built on means that another tab was at work: then the person chooses.
 */

import { paths } from "./api-client.js";

const RETRY_MS = [1000, 2000, 5000, 10_000, 30_000];

/** `choose(stored)` -> "mine" or "theirs"; `onTheirs(taskId, payload)` takes the other tab's state up. */
export function createDrafts({ api, kept, choose, onTheirs, onState }) {
  const tracks = new Map(); // task id -> {version, payload, dirty, sending, timer, tries, closed}

  /** The newest work on a task: the server's draft, or this browser's copy where it never got there. */
  function open(task) {
    const mirror = kept.get(task.id);
    const server = task.draft ?? { version: 0, payload: null };
    // The answer that carried the task may be older than what this tab has stored since.
    const isOurs = mirror && (mirror.version > server.version || (mirror.dirty && mirror.version === server.version));
    const { version, payload } = isOurs ? mirror : server;
    const track = { version, payload, dirty: Boolean(isOurs && mirror.dirty), sending: null, timer: null, tries: 0, closed: false };
    tracks.set(task.id, track);
    pump(task.id, track);
    const hand = kept.get(`${task.id}:hand`);
    return { payload: hand && payload ? { ...payload, hand } : payload, hand, other: otherOf(mirror, server.version) };
  }

  /** What this browser holds that the server's newer draft does not. */
  const otherOf = (mirror, version) => (mirror?.dirty && mirror.version < version ? mirror.payload : null);

  function save(taskId, payload) {
    const track = tracks.get(taskId);
    if (!track || track.closed) return;
    Object.assign(track, { payload, dirty: true });
    mirror(taskId, track);
    kept.remove(`${taskId}:hand`);
    pump(taskId, track);
  }

  /** The mask in hand changes at every click: only this browser's copy is written then, and it is small. */
  const saveHand = (taskId, hand) => void (hand ? kept.set(`${taskId}:hand`, hand) : kept.remove(`${taskId}:hand`));

  const mirror = (taskId, { version, payload, dirty }) => kept.set(taskId, { version, payload, dirty });

  function pump(taskId, track) {
    if (track.sending || !track.dirty || track.closed) return;
    clearTimeout(track.timer);
    track.sending = send(taskId, track).finally(() => {
      track.sending = null;
      if (track.dirty && !track.timer) pump(taskId, track);
    });
  }

  async function send(taskId, track) {
    const { payload } = track;
    try {
      const answer = await api.put(paths.task(taskId, "draft"), { version: track.version, payload });
      stored(taskId, track, payload, answer.version);
    } catch (error) {
      if (error.code === "draft_conflict") await settle(taskId, track, error.fields);
      else if (error.isPassing || error.status === 401) later(taskId, track, error);
      else stop(track, error);
    }
  }

  function stored(taskId, track, payload, version) {
    Object.assign(track, { version, tries: 0, timer: null });
    if (track.payload === payload) track.dirty = false;
    if (track.closed) return;
    mirror(taskId, track);
    onState({ kind: "saved" });
  }

  async function settle(taskId, track, stored_) {
    const theirs = { version: stored_.version, payload: stored_.payload };
    // Our own earlier try whose answer got lost is no conflict.
    const isOurs = JSON.stringify(theirs.payload) === JSON.stringify(track.payload);
    if (!isOurs && theirs.payload && (await choose(theirs)) === "theirs") {
      Object.assign(track, { ...theirs, dirty: false });
      mirror(taskId, track);
      onTheirs(taskId, theirs.payload);
      return;
    }
    Object.assign(track, { version: theirs.version, dirty: !isOurs });
  }

  function later(taskId, track, error) {
    const delay = error.retryAfterMs ?? RETRY_MS[Math.min(track.tries++, RETRY_MS.length - 1)];
    onState({ kind: "waiting", message: error.message });
    track.timer = setTimeout(() => {
      track.timer = null;
      pump(taskId, track);
    }, delay);
  }

  function stop(track, error) {
    track.dirty = false; // asking again would be refused again; the mirror still has it
    onState({ kind: "refused", message: error.message });
  }

  /** No more drafts for this task: it is being submitted. Resolves when none is under way. */
  async function close(taskId) {
    const track = tracks.get(taskId);
    if (!track) return;
    track.closed = true;
    clearTimeout(track.timer);
    await track.sending;
  }

  /** Submitted and acknowledged: nothing needs keeping. */
  function forget(taskId) {
    tracks.delete(taskId);
    kept.remove(taskId);
    kept.remove(`${taskId}:hand`);
  }

  const isDirty = () => [...tracks.values()].some((track) => track.dirty && !track.closed);

  return { open, save, saveHand, close, forget, isDirty };
}
