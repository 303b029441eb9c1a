/**
 * Submissions on their way: written down in this browser first, sent one after the other, tried again until the
 * server has said yes or no. The server takes the same client_uuid only once, so trying again is safe.
 */

import { paths } from "./api-client.js";

const RETRY_MS = [500, 1000, 2000, 5000, 10_000, 30_000];

/** `before(taskId)` is awaited before sending; `onDone(item, answer)`, `onRefused(item, error)`, `onState(waiting)`. */
export function createOutbox({ api, kept, before, onDone, onRefused, onState }) {
  let running = null;
  let tries = 0;
  let wake = null;

  const items = () => kept.keys().map((key) => kept.get(key)).filter(Boolean).sort((a, b) => a.at - b.at);
  const holds = (taskId) => items().some((item) => item.taskId === taskId);

  function add(taskId, body) {
    const item = { taskId, body, at: Date.now() };
    kept.set(body.client_uuid, item);
    return flush();
  }

  /** Send all that waits; resolves when the box is empty or the server can't take any now. */
  function flush() {
    running ??= drain().finally(() => {
      running = null;
    });
    return running;
  }

  async function drain() {
    for (let item = items()[0]; item; item = items()[0]) {
      if (!(await deliver(item))) break;
    }
    onState(items().length);
    if (items().length) retryLater();
  }

  /** True when this item needs no more trying. */
  async function deliver(item) {
    await before(item.taskId);
    try {
      const answer = await api.post(paths.task(item.taskId, "submit"), item.body);
      tries = 0;
      kept.remove(item.body.client_uuid);
      onDone(item, answer);
      return true;
    } catch (error) {
      if (error.isPassing || error.status === 401) {
        onState(items().length, error);
        wake = { delay: error.retryAfterMs ?? RETRY_MS[Math.min(tries++, RETRY_MS.length - 1)] };
        return false;
      }
      kept.remove(item.body.client_uuid);
      onRefused(item, error);
      return true;
    }
  }

  function retryLater() {
    setTimeout(flush, wake?.delay ?? RETRY_MS[0]);
  }

  return { add, flush, holds, count: () => items().length };
}
