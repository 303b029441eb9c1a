/** Tasks as they come: the one on screen and the next, claimed, decoded and painted-ready ahead of time. */

import { paths } from "./api-client.js";
import { proposalsOf } from "./editor.js";
import { instancesFromWire } from "./payload.js";
import { createPicture } from "./picture.js";

/** `isLeaving(taskId)`: its submission is still on the way, so that a claim may hand it out once more. */
export function createFeed({ api, slug, isLeaving, onPicture }) {
  let next = null; // promise of the prepared next task, or of null when none is left

  async function claim(afterId) {
    const task = await api.post(paths.claim(slug), { after: afterId });
    if (!task) return null;
    if (isLeaving(task.id)) return null;
    return prepare(task);
  }

  async function prepare(task) {
    const picture = createPicture(task.image, { onChange: () => onPicture(task.id) });
    const prepared = { task, picture, proposals: proposalsOf(task), earlier: null };
    prepared.earlier = await earlierAnswer(task);
    await picture.ready.catch(() => {});
    return prepared;
  }

  /** What was submitted before, for a task that came back or was reopened. */
  async function earlierAnswer(task) {
    const id = task.returned?.annotation ?? task.annotation?.id;
    if (!id || task.draft) return null;
    const { annotation } = task.annotation?.instances ? task : await api.get(paths.annotation(id));
    return { instances: instancesFromWire(annotation.instances), rejected: annotation.rejected_proposals ?? [] };
  }

  /** Get the next one ready; a failure is told when somebody takes it. */
  function prefetch(afterId) {
    if (next) return;
    next = claim(afterId);
    next.catch(() => {});
  }

  async function take(afterId) {
    const waiting = next ?? claim(afterId);
    next = null;
    return waiting;
  }

  async function open(taskId) {
    return prepare(await api.get(paths.task(taskId)));
  }

  /** The prepared task if it is there already, without waiting. */
  return { prefetch, take, open, prepare, peek: () => next };
}
