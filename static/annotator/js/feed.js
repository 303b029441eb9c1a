/** Tasks as they come: the one on screen and the next, claimed, decoded and painted-ready ahead of time. */

import { paths } from "./api-client.js";
import { linkedToProposals, proposalsOf } from "./editor.js";
import { instancesFromWire } from "./payload.js";
import { createPicture } from "./picture.js";

const UNSENT = "Your last answers have not reached the server yet; they are kept here and sent as soon as it answers.";

export function createFeed({ api, slug, outbox, onPicture }) {
  let next = null; // promise of the prepared next task, or of null when none is left

  /** Submissions go first: a task whose answer is on the way would be handed out once more. */
  async function claim(afterId) {
    await outbox.flush();
    const task = await api.post(paths.claim(slug), { after: afterId });
    if (!task) return null;
    if (outbox.holds(task.id)) throw new Error(UNSENT);
    return prepare(task);
  }

  /** `answered`: the annotation that a reopened task had, as one that was sent back names its own. */
  async function prepare(task, answered = null) {
    const picture = createPicture(task.image, { onChange: () => onPicture(task.id) });
    const proposals = proposalsOf(task);
    const earlier = await earlierAnswer(task, task.returned?.annotation ?? answered, proposals);
    await picture.ready.catch(() => {});
    return { task, picture, proposals, earlier };
  }

  async function earlierAnswer(task, annotationId, proposals) {
    if (!annotationId || task.draft) return null;
    const { annotation } = await api.get(paths.annotation(annotationId));
    const instances = linkedToProposals(instancesFromWire(annotation.instances), proposals);
    return { instances, rejected: annotation.rejected_proposals ?? [] };
  }

  /** Get the next one ready; a failure is told when somebody takes it. */
  function prefetch(afterId) {
    if (next) return;
    next = claim(afterId);
    next.catch(() => {});
  }

  async function take(afterId) {
    const waiting = next;
    next = null;
    // Nothing was there when it was asked for ahead of time: by now there may be.
    return (await waiting) ?? claim(afterId);
  }

  async function open(taskId) {
    return prepare(await api.get(paths.task(taskId)));
  }

  /** Let the prepared task go; its lease runs out, or the next claim finds it. */
  function drop() {
    next?.then((prepared) => prepared?.picture.close(), () => {});
    next = null;
  }

  return { prefetch, take, open, prepare, drop, peek: () => next };
}
