/** The annotator's desk: tasks in, decisions out, nothing lost on the way. Each part knows its own job. */

import { isAbort, paths } from "./api-client.js";
import { createActiveClock } from "./clock.js";
import { askWhichDraft } from "./dialogs.js";
import { measurePainted } from "./timing.js";
import { draftOf, handDraft, handFromDraft, wireInstances, workFromDraft } from "./payload.js";
import { newUuid } from "./session.js";
import { EMPTY_WORK, openProposals, proposedAtFirst } from "./work.js";

const DECIDING = ["accept", "take", "split", "delete", "candidate", "fill-holes", "redo"];
const COVER_AFTER_MS = 400;
const HEARTBEAT_MS = 30_000;
const DOUBLE_PRESS_MS = 300; // nobody has looked at the next image by then
const LOOKING_ON = "You only look at this task: it is answered, or not leased to you.";
const UNLEASED =
  "This task is not leased to you: clicks are not answered, but your answer is taken while it is still free.";
const LEFT_OPEN = "still undecided: Enter accepts, X rejects. Space once more submits without deciding.";

export class Desk {
  #parts;
  #current = null; // {task, picture, proposals, earlier}
  #busy = false; // between two tasks
  #loading = false; // the store is being filled: nothing to save
  #submittedAt = -Infinity;
  #warned = null; // what the person was asked to confirm by pressing the same key again
  #clock = createActiveClock(() => performance.now());

  /** `parts`: api, store, editor, editing, feed, drafts, outbox, panel, notices, session, settings, cover, … */
  constructor(parts) {
    this.#parts = parts;
    parts.store.subscribe((state, changed) => this.#onState(state, changed));
    setInterval(() => this.#beat(), HEARTBEAT_MS);
    setInterval(() => this.#showSession(), 1000);
    document.addEventListener("visibilitychange", () => document.hidden && this.#clock.hide());
    for (const sign of ["pointermove", "pointerdown", "keydown", "wheel"]) {
      document.addEventListener(sign, () => this.#clock.touch(), { passive: true });
    }
    addEventListener("online", () => parts.outbox.flush());
  }

  get actions() {
    const { editor, editing, settings } = this.#parts;
    const deciding = DECIDING.map((name) => [name, () => this.decide(editing.actions[name])]);
    return {
      ...editing.actions,
      ...Object.fromEntries(deciding),
      next: () => editor.move(1),
      previous: () => editor.move(-1),
      reject: () => this.decide(() => editor.reject()),
      "auto-accept": () => this.decide(() => editor.autoAccept(settings.get("threshold"))),
      absent: (event) => this.#submitAbsent(event),
      submit: (event) => this.#submitPresent(event),
      skip: (event) => this.#skip(event),
      undo: () => this.#undo(),
      hover: () => this.#toggleHover(),
    };
  }

  /** Do it where this task may be decided, else say why not. */
  decide(deed) {
    return this.lockedReason ?? deed();
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
    return mayAnswer(this.#current.task) ? null : LOOKING_ON;
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
    const { store, editor, drafts, editing, panel, cover, scene, notices, say } = this.#parts;
    const { task, picture, proposals, earlier } = prepared;
    this.#current?.picture.close();
    this.#current = prepared;
    const { payload, hand, other } = drafts.open(task);
    const work = workFromDraft(payload) ?? { ...earlier, hand: handFromDraft(hand) };
    Object.assign(scene, { picture, colour: task.concept.colour, pin: task.returned?.pin ?? null });
    this.#clock.restart(payload?.active_seconds ?? 0);
    this.#fill(() => editor.load({ task, proposals, work }));
    cover.hide();
    notices.clear("lease");
    panel.showTask(task);
    this.#showLooking(task);
    editing.show();
    editing.workspace.paintNow();
    measurePainted("roost:next", startedAt);
    this.#prefetch();
    say(introOf(prepared, store.state));
    picture.ready.catch((error) => notices.show("picture", "error", error.message));
    if (other) void this.#chooseOlder(task.id, other, payload);
  }

  /** A task opened by its address may be nobody's, somebody else's or already answered. */
  #showLooking(task) {
    const { notices, feed } = this.#parts;
    notices.clear("looking");
    if (task.state === "claimed") return;
    const claim = () => void this.#goTo(() => feed.take(null), performance.now());
    const buttons = [["Start with the queue", claim]];
    if (task.state === "submitted")
      buttons.unshift(["Reopen it", () => void this.#reopen(task.id, task.annotation?.id)]);
    notices.show("looking", "info", mayAnswer(task) ? UNLEASED : LOOKING_ON, buttons);
  }

  #fill(deed) {
    this.#loading = true;
    deed();
    this.#loading = false;
    this.#parts.panel.showWork(this.#parts.store.state);
  }

  /** This browser holds work that never reached the server, which has newer work from elsewhere. */
  async #chooseOlder(taskId, mine, theirs) {
    if ((await this.choose({ payload: theirs }, mine)) === "mine") this.takeUp(taskId, mine, { save: true });
  }

  /** The dialog for two states of one draft. */
  choose(theirs, mine = null) {
    const { dialogs, store } = this.#parts;
    const ours = mine ? (mine.instances?.length ?? 0) : store.state.instances.length;
    const texts = {
      mine: `Keep mine: ${counted(ours)}`,
      theirs: `Take the other: ${counted(theirs.payload?.instances?.length ?? 0)}`,
    };
    return askWhichDraft(dialogs.draft, texts);
  }

  /** Another state of the draft takes the place of what is on screen. */
  takeUp(taskId, payload, { save = false } = {}) {
    const { store, editor, drafts, editing } = this.#parts;
    if (taskId !== this.#current?.task.id) return;
    const { task, proposals } = this.#current;
    this.#fill(() => editor.load({ task, proposals, work: workFromDraft(payload) ?? {} }));
    editing.workspace.invalidate();
    if (save) drafts.save(taskId, draftOf(store.state, this.#clock.seconds));
  }

  #onState(state, changed) {
    if (this.#loading || state.taskId === null) return;
    this.#warned = null;
    const { drafts, panel } = this.#parts;
    const isSettled = ["instances", "rejected", "proposals"].some((key) => changed.has(key));
    if (isSettled || changed.has("cursor")) panel.showWork(state);
    if (isSettled) drafts.save(state.taskId, draftOf(state, this.#clock.seconds));
    if (changed.has("hand")) drafts.saveHand(state.taskId, handDraft(state.hand, state.image));
  }

  #submitPresent(event) {
    const { store, editor } = this.#parts;
    if (this.isIdle && !this.#busy) return void this.start(null, event?.timeStamp);
    const reason = this.#whyNotSubmit();
    if (reason) return reason;
    if (store.state.hand?.state === "waiting") return "The model is still drawing; a moment.";
    if (store.state.hand) editor.acceptHand();
    if (store.state.hand) return "The mask in hand is empty: click the object, or drop it with Esc.";
    if (!store.state.instances.length) return "Nothing is accepted yet. If it is not in this image, press N.";
    const open = openProposals(store.state).length;
    if (open && this.#warned !== "open")
      return this.#warn("open", `${open} proposal${open > 1 ? "s are" : " is"} ${LEFT_OPEN}`);
    return this.#submit("present", event);
  }

  #submitAbsent(event) {
    const { store } = this.#parts;
    const reason = this.#whyNotSubmit();
    if (reason) return reason;
    const { instances, hand } = store.state;
    if ((instances.length || hand) && this.#warned !== "absent") {
      return this.#warn(
        "absent",
        `You have ${counted(instances.length + (hand ? 1 : 0))}. N once more drops that and says: not in this image.`,
      );
    }
    return this.#submit("absent", event);
  }

  #whyNotSubmit() {
    const isDoublePress = performance.now() - this.#submittedAt < DOUBLE_PRESS_MS;
    return isDoublePress ? "Pressed twice? This is the next image already." : this.lockedReason;
  }

  #warn(about, sentence) {
    this.#warned = about;
    return sentence;
  }

  #submit(verdict, event) {
    const { store, outbox, session, feed } = this.#parts;
    const { task } = this.#current;
    const isAbsent = verdict === "absent";
    const { instances, rejected, proposals } = store.state;
    const seconds = this.#clock.seconds;
    this.#submittedAt = performance.now();
    outbox.add(task.id, {
      attempt: task.attempt,
      concept: task.concept.name,
      client_uuid: newUuid(),
      verdict,
      instances: isAbsent ? [] : wireInstances(instances),
      rejected_proposals: proposedAtFirst(isAbsent ? proposals.map(({ index }) => index) : rejected, store.state),
      active_seconds: seconds,
    });
    session.count({ instances: isAbsent ? 0 : instances.length, activeSeconds: seconds });
    void this.#goTo(() => feed.take(task.id), event?.timeStamp ?? performance.now());
    return isAbsent ? "Not in the image: submitted." : `Submitted: ${counted(instances.length)}.`;
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
    if (last) await this.#reopen(last.taskId, last.annotation);
    else say("There is nothing to undo.");
  }

  async #reopen(taskId, annotationId) {
    const { api, feed, say } = this.#parts;
    let task;
    try {
      task = await api.post(paths.task(taskId, "reopen"));
    } catch (error) {
      return void say(error.message);
    }
    feed.drop(); // the server freed it: nobody holds more than two
    await this.#goTo(
      async () => ({ ...(await feed.prepare(task, annotationId)), isReopened: true }),
      performance.now(),
    );
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
    session.sent(item.taskId, answer.annotation?.id ?? answer.annotation);
    notices.clear("outbox");
    if (answer.feedback) notices.show("feedback", answer.feedback.verdict_right ? "info" : "warning", answer.feedback.words);
    this.#prefetch();
  }

  #prefetch() {
    const { feed, outbox } = this.#parts;
    if (this.#current && !outbox.count) feed.prefetch(this.#current.task.id);
  }

  async #beat() {
    const { api, feed } = this.#parts;
    const ahead = await Promise.resolve(feed.next).catch(() => null);
    for (const prepared of [this.#current, ahead]) {
      if (prepared?.task.state !== "claimed") continue;
      const { id, attempt } = prepared.task;
      await api.post(paths.task(id, "heartbeat"), { attempt }).catch((error) => this.#onBeatFailed(id, error));
    }
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
    const taskSeconds = this.#current ? this.#clock.seconds : 0;
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

/** The server takes an answer from whoever had a task while it is free again (services/submissions.py). */
const mayAnswer = ({ state, attempt }) =>
  state === "claimed" || (["queued", "returned"].includes(state) && attempt > 0);

const counted = (count) => `${count} ${count === 1 ? "instance" : "instances"}`;

function introOf({ task, earlier, isReopened }, { proposals, instances, hand }) {
  const hasDraft = (instances.length > 0 || hand) && instances !== earlier?.instances;
  const came = isReopened ? "Reopened: " : task.returned ? "Sent back to you: " : "";
  return `${came}${task.concept.name}, ${proposals.length} proposed.${hasDraft ? " Your draft is back." : ""}`;
}
