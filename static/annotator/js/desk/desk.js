/** The annotator's desk: tasks in, decisions out, nothing lost on the way. Each part knows its own job. */

import { Answering } from "./answering.js";
import { isAbort, paths } from "../model/api-client.js";
import { createActiveClock } from "./clock.js";
import { conceptOf, decisionOf } from "../work/concepts.js";
import { Drafting } from "./drafting.js";
import { startHeartbeat } from "./heartbeat.js";
import { createTimes } from "./active-seconds.js";
import { measurePainted } from "../page/timing.js";
import { EMPTY_WORK } from "../work/work.js";

/** @import { Api } from "../model/api-client.js" */
/** @import { createCover } from "../page/cover.js" */
/** @import { Notices } from "../page/notices.js" */
/** @import { Page } from "../page/page.js" */
/** @import { Panel } from "../page/panel.js" */
/** @import { Editing, Scene } from "../stage/editing.js" */
/** @import { Editor } from "../work/editor.js" */
/** @import { WorkStore } from "../work/work.js" */
/** @import { Strip } from "./concept-strip.js" */
/** @import { Drafts } from "./drafts.js" */
/** @import { Feed } from "./feed.js" */
/** @import { Outbox } from "./outbox.js" */
/** @import { createSession } from "./session.js" */
/**
 * @typedef {object} DeskParts
 * @property {Api} api
 * @property {WorkStore} store
 * @property {Editor} editor
 * @property {Editing} editing
 * @property {Feed} feed
 * @property {Drafts} drafts
 * @property {Outbox} outbox
 * @property {Panel} panel
 * @property {Strip} strip
 * @property {Notices} notices
 * @property {ReturnType<typeof createSession>} session
 * @property {Page['settings']} settings
 * @property {ReturnType<typeof createCover>} cover
 * @property {{draft: HTMLDialogElement}} dialogs
 * @property {Scene} scene
 * @property {(text: string | null | void) => void} say
 */

const DECIDING = ["accept", "take", "split", "merge", "delete", "candidate", "fill-holes", "redo"];
const NUMBERS = Array.from({ length: 99 }, (_, i) => i + 1); // of concepts that have a button
const LISTED = ["taskId", "instances", "rejected", "proposals", "absent", "cursor", "pending"];
const COVER_AFTER_MS = 400;
const LOOKING_ON = "You only look at this task: it is answered, or not leased to you.";
const UNLEASED =
  "This task is not leased to you: clicks are not answered, but your answer is taken while it is still free.";

export class Desk {
  /** @type {DeskParts} */
  #parts;
  #current = null; // {task, picture, members}, see feed.js
  #busy = false; // between two tasks
  #loading = false; // the store is being filled: nothing to save
  #clock = createActiveClock(() => performance.now());
  #times = createTimes(this.#clock);
  #counterparts;
  #drafting;
  #answering;

  /** @param {DeskParts} parts */
  constructor(parts) {
    this.#parts = parts;
    this.#counterparts = parts.editing.counterparts;
    this.#drafting = new Drafting({ ...parts, times: this.#times });
    const current = () => this.#current;
    this.#answering = new Answering({
      ...parts,
      times: this.#times,
      counterparts: this.#counterparts,
      current,
      whyNot: () => this.lockedReason,
      onSent: (event) => this.#goOn(event),
    });
    parts.store.subscribe((state, changed) => this.#onState(state, changed));
    startHeartbeat({ ...parts, current, onLost: (id, error) => this.#onBeatFailed(id, error) });
    setInterval(() => this.#showSession(), 1000);
    document.addEventListener("visibilitychange", () => document.hidden && this.#clock.hide());
    for (const sign of ["pointermove", "pointerdown", "keydown", "wheel"]) {
      document.addEventListener(sign, () => this.#clock.touch(), { passive: true });
    }
    addEventListener("online", () => parts.outbox.flush());
  }

  get actions() {
    const { editor, editing, settings } = this.#parts;
    const counterparts = this.#counterparts;
    const numbers = NUMBERS.map((n) => [`concept-${n}`, () => this.decide(() => counterparts.number(n))]);
    const deciding = DECIDING.map((name) => [name, () => this.decide(editing.actions[name])]);
    return {
      ...editing.actions,
      ...Object.fromEntries([...deciding, ...numbers]),
      next: () => editor.move(1),
      previous: () => editor.move(-1),
      reject: () => this.decide(() => editor.reject()),
      "auto-accept": () => this.decide(() => editor.autoAccept(settings.get("threshold"))),
      copy: () => this.decide(() => counterparts.transfer("copy")),
      move: () => this.decide(() => counterparts.transfer("move")),
      absent: (event) => this.#answering.absent(event),
      submit: (event) => this.#submit(event),
      skip: (event) => this.#skip(event),
      undo: () => this.#undo(),
      hover: () => this.#toggleHover(),
    };
  }

  /** Do it where this task may be decided, else say why not. */
  decide(action) {
    return this.lockedReason ?? action();
  }

  get isIdle() {
    return this.#current === null;
  }

  get isLocked() {
    return this.lockedReason !== null;
  }

  /** Why nothing can be decided just now; null when it can. */
  get lockedReason() {
    if (this.#busy) return "A moment: the next image is on its way.";
    if (!this.#current) return "There is no task on the desk.";
    return mayAnswer(this.#inHand.task) ? null : LOOKING_ON;
  }

  /** Of what is on the desk, the concept in hand: {task, proposals, earlier}. */
  get #inHand() {
    const { taskId } = this.#parts.store.state;
    return this.#current.members.find(({ task }) => task.id === taskId);
  }

  async start(taskId = null, startedAt = performance.now()) {
    const { session, feed, cover, outbox } = this.#parts;
    session.start();
    cover.show("loading");
    await outbox.flush();
    await this.#goTo(() => (taskId ? feed.open(taskId) : feed.take(null)), startedAt);
  }

  async #goTo(fetchTask, startedAt) {
    this.#busy = true;
    const slow = setTimeout(() => this.#parts.cover.show("loading"), COVER_AFTER_MS);
    try {
      const prepared = await fetchTask();
      if (prepared) await this.#show(prepared, startedAt);
      else this.#leave("empty");
    } catch (error) {
      if (!isAbort(error)) this.#leave("trouble", error.message);
    } finally {
      clearTimeout(slow);
      this.#busy = false;
    }
  }

  #leave(cover, message) {
    this.#current?.picture.close();
    this.#current = null;
    this.#parts.scene.picture = null;
    this.#fill(() => this.#parts.store.set(EMPTY_WORK));
    this.#parts.cover.show(cover, message);
  }

  async #show(prepared, startedAt) {
    const { store, editor, editing, cover, scene, notices, say } = this.#parts;
    const { task, picture, members } = prepared;
    this.#current?.picture.close();
    this.#current = prepared;
    const { works, seconds, others } = this.#drafting.open(members);
    const taskId = firstInHand(prepared, works);
    scene.picture = picture;
    this.#times.start(seconds, taskId);
    this.#fill(() => editor.open({ taskId, image: task.image, works, group: members.map(conceptRow) }));
    cover.hide();
    notices.clear("lease");
    this.#showConcept();
    this.#showLooking(task);
    editing.show();
    editing.workspace.paintNow();
    measurePainted("roost:next", startedAt);
    this.#prefetch();
    say(introOf(prepared, store.state));
    picture.ready.catch((error) => notices.show("picture", "error", error.message));
    if (others.length) void this.#drafting.chooseOlder(others, (id, payload) => this.takeUp(id, payload));
  }

  /** The panel and the stage as the concept in hand wants them. */
  #showConcept() {
    const { scene, panel } = this.#parts;
    const { task } = this.#inHand;
    Object.assign(scene, { colour: task.concept.colour, pin: task.returned?.pin ?? null });
    panel.showTask(task);
  }

  /** A task opened by its address may be nobody's, somebody else's or already answered. */
  #showLooking(task) {
    const { notices, feed } = this.#parts;
    notices.clear("looking");
    if (task.state === "claimed") return;
    const claim = () => void this.#goTo(() => feed.take(null), performance.now());
    const buttons = [["Start with the queue", claim]];
    if (task.state === "submitted") buttons.unshift(["Reopen it", () => void this.#reopen([task.id])]);
    notices.show("looking", "info", mayAnswer(task) ? UNLEASED : LOOKING_ON, buttons);
  }

  #fill(action) {
    this.#loading = true;
    action();
    this.#loading = false;
    this.#drafting.settle();
    this.#parts.panel.showWork(this.#parts.store.state);
    this.#parts.strip.show(this.#parts.store.state);
  }

  /** The dialog for two states of one draft. */
  choose(stored) {
    return this.#drafting.choose(stored);
  }

  /** Another state of a draft takes the place of what is on screen; true where its task is still there. */
  takeUp(taskId, payload) {
    const member = this.#current?.members.find(({ task }) => task.id === taskId);
    if (!member) return false;
    this.#fill(() => this.#drafting.takeUp(member, payload));
    this.#parts.editing.workspace.invalidate();
    return true;
  }

  #onState(state, changed) {
    if (this.#loading || state.taskId === null) return;
    const { panel, strip } = this.#parts;
    if (changed.has("taskId")) this.#turnTo(state.taskId);
    if (LISTED.some((key) => changed.has(key))) panel.showWork(state);
    strip.show(state);
    this.#drafting.save(state);
  }

  /** Another concept is in hand, by choice or by undo. */
  #turnTo(taskId) {
    this.#times.turnTo(taskId);
    this.#parts.editing.hover.clear();
    this.#showConcept();
  }

  #submit(event) {
    if (this.isIdle && !this.#busy) return void this.start(null, event?.timeStamp);
    return this.#answering.present(event);
  }

  #goOn(event) {
    const { id } = this.#current.task;
    void this.#goTo(() => this.#parts.feed.take(id), event?.timeStamp ?? performance.now());
  }

  async #skip(event) {
    const { api, feed, say } = this.#parts;
    if (this.isLocked) return void say(this.lockedReason);
    const { task } = this.#current;
    this.#busy = true;
    try {
      await api.post(paths.task(task.id, "skip"), { attempt: task.attempt, reason: "skipped at the desk" });
      say("Skipped: back in the queue, behind the others.");
    } catch (error) {
      if (error.code !== "lease_lost") {
        this.#busy = false;
        return void say(error.message);
      }
    }
    await this.#goTo(() => feed.take(task.id), event?.timeStamp ?? performance.now());
  }

  /** Undo on this image; with nothing left to undo, take back the task before. */
  #undo() {
    const sentence = this.isLocked ? null : this.#parts.editing.actions.undo();
    if (sentence) return sentence;
    void this.#reopenLast();
    return null;
  }

  async #reopenLast() {
    const { session, outbox, say } = this.#parts;
    if (this.#busy) return;
    await outbox.flush();
    const last = session.takeLast();
    if (last.length) await this.#reopen(last);
    else say("There is nothing to undo.");
  }

  /** The first of these that is not decided yet; with it comes back what was answered in one pass with it. */
  async #reopen(taskIds) {
    const { api, feed, say } = this.#parts;
    let trouble;
    for (const id of taskIds) {
      try {
        const task = await api.post(paths.task(id, "reopen"));
        feed.drop(); // the server freed it: nobody holds more than two
        return this.#goTo(() => feed.prepare(task, { isReopened: true }), performance.now());
      } catch (error) {
        trouble = error.message;
      }
    }
    return void say(trouble);
  }

  #toggleHover() {
    const { settings, editing } = this.#parts;
    settings.set("hover", !settings.get("hover"));
    editing.hover.clear();
    return settings.get("hover") ? "Previews under the pointer: on." : "Previews under the pointer: off.";
  }

  /** The answer was taken: keep it for reopening, and get the next one ready. */
  submitted(item, answer) {
    const { drafts, session, notices } = this.#parts;
    drafts.forget(item.taskId);
    session.sent(item.taskId, item.pass);
    notices.clear("outbox");
    const { feedback } = answer;
    if (feedback) notices.show("feedback", feedback.verdict_right ? "info" : "warning", feedback.words);
    // Between two tasks one is asked for already: asked again, the server would name the same one twice.
    if (!this.#busy) this.#prefetch();
  }

  #prefetch() {
    const { feed, outbox } = this.#parts;
    if (this.#current && !outbox.count) feed.prefetch(this.#current.task.id);
  }

  #onBeatFailed(taskId, error) {
    const { notices, feed } = this.#parts;
    if (error.code !== "lease_lost") return; // the next beat, or the submission, will tell
    if (taskId !== this.#current?.task.id) return feed.drop();
    const goOn = () => void this.#goTo(() => feed.take(taskId), performance.now());
    notices.show("lease", "warning", error.message, [["Go on with the next", goOn]]);
  }

  #showSession() {
    const { panel, session } = this.#parts;
    const taskSeconds = this.#current ? this.#times.total : 0;
    const { tasks, instances, activeSeconds } = session.values;
    panel.showSession({
      tasks,
      instances,
      activeSeconds: activeSeconds + taskSeconds,
      taskSeconds,
      isRunning: this.#clock.isRunning,
    });
  }
}

/** The server takes an answer from whoever had a task while it is free again (annotator/queue/submissions.py). */
const mayAnswer = ({ state, attempt }) =>
  state === "claimed" || (["queued", "returned"].includes(state) && attempt > 0);

const conceptRow = ({ task: { id, concept } }) => Object.freeze({ taskId: id, ...concept });

/** What was asked for by its address, else the queue's own choice, unless that is decided and another is not. */
function firstInHand({ task, members, first }, works) {
  if (first && works[first]) return first;
  const ids = [task.id, ...members.map((one) => one.task.id)];
  return ids.find((id) => decisionOf(works[id]) === "undecided") ?? task.id;
}

function introOf({ members, isReopened }, state) {
  const { task, earlier } = members.find((one) => one.task.id === state.taskId);
  const { proposals, instances, hand } = state;
  const hasDraft = (instances.length > 0 || hand) && instances !== earlier?.instances;
  const came = isReopened ? "Reopened: " : task.returned ? "Sent back to you: " : "";
  const beside = members.length > 1 ? ` and ${members.length - 1} more${isReopened ? "" : " to decide"}` : "";
  const { name } = conceptOf(state);
  return `${came}${name}${beside}, ${proposals.length} proposed.${hasDraft ? " Your draft is back." : ""}`;
}
