/** Keeps the leases of the image on screen, and of the one made ready, alive; one task stands for all of its pass. */

import { paths } from "../model/api-client.js";

const HEARTBEAT_MS = 30_000;

/** `parts`: api, feed, current() -> the prepared task on screen or null, onLost(task id, error). */
export function startHeartbeat({ api, feed, current, onLost }) {
  async function beat() {
    const ahead = await Promise.resolve(feed.next).catch(() => null);
    for (const prepared of [current(), ahead]) {
      if (prepared?.task.state !== "claimed") continue;
      const { id, attempt } = prepared.task;
      await api.post(paths.task(id, "heartbeat"), { attempt }).catch((error) => onLost(id, error));
    }
  }

  return setInterval(beat, HEARTBEAT_MS);
}
