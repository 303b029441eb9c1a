/**
 * Submissions on their way: written down in this browser first, sent one after the other, tried again until the
 * server has said yes or no. The server takes the same client_uuid only once, so trying again is safe.
 */

import { paths } from "../model/api-client.js";

/** @import { Api, ApiError } from "../model/api-client.js" */
/** @import { Page } from "../page/page.js" */
/**
 * @typedef {object} OutboxParts
 * @property {Api} api
 * @property {Page['storage']} storage
 * @property {(taskId: number) => Promise<void>} before awaited before each try
 * @property {(item: any, answer: any) => void} onDone
 * @property {(item: any, error: ApiError) => void} onRefused
 * @property {(count: number, error?: ApiError) => void} onState how many wait, and the error that holds them up
 */

const RETRY_MS = [500, 1000, 2000, 5000, 10_000, 30_000];

export class Outbox {
  /** @type {OutboxParts} */
  #parts;
  #running = null;
  #tries = 0;
  #delayMs = RETRY_MS[0];
  #timer = null;

  /** @param {OutboxParts} parts */
  constructor(parts) {
    this.#parts = parts;
  }

  get count() {
    return this.#items().length;
  }

  holds(taskId) {
    return this.#items().some((item) => item.taskId === taskId);
  }

  /** `pass`: the task that stands for all that is decided on this image in one pass. */
  add(taskId, body, pass = taskId) {
    this.#parts.storage.set(body.client_uuid, { taskId, body, pass, at: Date.now() });
    return this.flush();
  }

  /** Send all that waits; resolves when the box is empty or the server can't take any now. */
  flush() {
    this.#running ??= this.#drain().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** Oldest first. */
  #items() {
    const { storage } = this.#parts;
    const items = storage.keys().map((key) => storage.get(key));
    return items.filter(Boolean).sort((a, b) => a.at - b.at);
  }

  async #drain() {
    clearTimeout(this.#timer);
    for (let [item] = this.#items(); item; [item] = this.#items()) {
      if (!(await this.#deliver(item))) break;
    }
    if (this.count) this.#timer = setTimeout(() => this.flush(), this.#delayMs);
    else this.#parts.onState(0);
  }

  /** True when this item needs no more trying. */
  async #deliver(item) {
    const { api, storage, before, onDone, onRefused } = this.#parts;
    await before(item.taskId);
    try {
      const answer = await api.post(paths.task(item.taskId, "submit"), item.body);
      this.#tries = 0;
      storage.remove(item.body.client_uuid);
      onDone(item, answer);
    } catch (error) {
      if (error.isPassing || error.status === 401) return this.#holdBack(error);
      storage.remove(item.body.client_uuid);
      onRefused(item, error);
    }
    return true;
  }

  #holdBack(error) {
    this.#delayMs = error.retryAfterMs ?? RETRY_MS[Math.min(this.#tries++, RETRY_MS.length - 1)];
    this.#parts.onState(this.count, error);
    return false;
  }
}
