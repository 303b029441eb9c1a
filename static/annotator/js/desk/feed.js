/** Tasks as they come: the one on screen and the next, claimed, decoded and ready to paint ahead of time. */

import { paths } from "../model/api-client.js";
import { instancesFromWire } from "../work/payload.js";
import { createPicture } from "../stage/picture.js";
import { linkedToProposals, proposalsOf } from "../work/work.js";

/** @import { Api } from "../model/api-client.js" */
/** @import { Outbox } from "./outbox.js" */
/** @typedef {{api: Api, slug: string, outbox: Outbox, onPicture: () => void}} FeedParts */

const FREE = new Set(["queued", "returned"]);
const UNSENT = "Your last answers have not reached the server yet; they are kept here and sent as soon as it answers.";

export class Feed {
  /** @type {FeedParts} */
  #parts;
  #next = null; // promise of the prepared next task, or of null when none is left

  /**
   * What is prepared is {task, picture, members, first}: the task with, in one
   * pass, its companions as `members` = [{task, proposals, earlier}] by their concepts' numbers; `first`: which of them
   * is asked for by its address, or null.
   * @param {FeedParts} parts
   */
  constructor(parts) {
    this.#parts = parts;
  }

  /** The next one, prepared or on its way; null when it was not asked for yet. */
  get next() {
    return this.#next;
  }

  /** Get the next one ready; a failure is told when somebody takes it. */
  prefetch(afterId) {
    if (this.#next) return;
    this.#next = this.#claim(afterId);
    this.#next.catch(() => {});
  }

  /** The next task, or null when the queue is empty. What was asked for ahead of time may have come by now. */
  async take(afterId) {
    const waiting = this.#next;
    this.#next = null;
    return (await waiting) ?? this.#claim(afterId);
  }

  /** A task by its address; a free one is leased where it is this person's turn for it. */
  async open(taskId) {
    const { api, slug } = this.#parts;
    const task = await api.get(paths.task(taskId));
    const claimed = FREE.has(task.state) ? await api.post(paths.claim(slug), { after: null }) : null;
    const isAmong = claimed && wholeTasks(claimed).some(({ id }) => id === task.id);
    return { ...(await this.prepare(isAmong ? claimed : task)), first: task.id };
  }

  /** Let the prepared task go; its lease runs out, or the next claim finds it. */
  drop() {
    this.#next?.then(
      (prepared) => prepared?.picture.close(),
      () => {},
    );
    this.#next = null;
  }

  /** `isReopened`: with the answers that its author takes back; what was sent back names its own. */
  async prepare(task, { isReopened = false } = {}) {
    const picture = createPicture(task.image, { onChange: this.#parts.onPicture });
    const asked = wholeTasks(task).filter(({ id }) => id === task.id || !this.#parts.outbox.holds(id));
    asked.sort((a, b) => a.concept.number - b.concept.number);
    const members = await Promise.all(asked.map((one) => this.#member(one, isReopened)));
    await picture.ready.catch(() => {}); // shown without its pixels, with the reason
    return { task, picture, members, isReopened, first: null };
  }

  async #member(task, isReopened) {
    const proposals = proposalsOf(task);
    const answered = task.returned?.annotation ?? (isReopened ? task.annotation?.id : null);
    return { task, proposals, earlier: await this.#earlierAnswer(task, answered, proposals) };
  }

  /** Submissions go first: a task whose answer is on the way would be handed out once more. */
  async #claim(afterId) {
    const { api, slug, outbox } = this.#parts;
    await outbox.flush();
    const task = await api.post(paths.claim(slug), { after: afterId });
    if (!task) return null;
    if (outbox.holds(task.id)) throw new Error(UNSENT);
    return this.prepare(task);
  }

  async #earlierAnswer(task, annotationId, proposals) {
    if (task.draft) return null;
    if (!annotationId) return begunWith(task, proposals);
    const { annotation } = await this.#parts.api.get(paths.annotation(annotationId));
    const instances = linkedToProposals(instancesFromWire(annotation.instances), proposals);
    return { instances, rejected: annotation.rejected_proposals, absent: annotation.verdict === "absent" };
  }
}

/** What is known of a pair that is not settled, as an answer to go on from: an import's boxes and outlines. */
function begunWith(task, proposals) {
  if (!task.begin_with?.length) return null;
  const instances = linkedToProposals(instancesFromWire(task.begin_with), proposals);
  return { instances, rejected: [], absent: false };
}

/** A task and its companions, each as if it had come alone. */
function wholeTasks(task) {
  const { project, image, queue, serving_version, companions = [] } = task;
  return [task, ...companions.map((one) => ({ ...one, project, image, queue, serving_version }))];
}
