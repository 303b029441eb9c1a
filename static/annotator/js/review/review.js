/** The reviewer's desk: proposal against correction, then approve, fix or send back; the next opens by itself. */

import { isAbort, paths } from "../model/api-client.js";
import { differenceLooks, differenceOf } from "../mask/difference.js";
import { drawMask } from "../stage/mask-layer.js";
import { instancesFromWire, wireInstances } from "../work/payload.js";
import { createPicture } from "../stage/picture.js";
import { drawPrompts } from "../stage/render.js";
import { createReplay } from "../stage/replay.js";
import { measurePainted } from "../page/timing.js";
import { proposalsOf } from "../work/work.js";

/** @import { Api } from "../model/api-client.js" */
/** @import { createCover } from "../page/cover.js" */
/** @import { Notices } from "../page/notices.js" */
/** @import { Editing, Scene } from "../stage/editing.js" */
/** @import { Editor } from "../work/editor.js" */
/** @import { WorkStore } from "../work/work.js" */
/** @import { ReviewPanel } from "./panel.js" */
/**
 * @typedef {object} ReviewParts
 * @property {Api} api
 * @property {string} slug
 * @property {WorkStore} store
 * @property {Editor} editor
 * @property {Editing} editing
 * @property {Scene} scene
 * @property {ReviewPanel} panel
 * @property {ReturnType<typeof createCover>} cover
 * @property {Notices} notices
 * @property {{open: () => void, close: () => void}} comment
 * @property {(text: string | null | void) => void} say
 * @property {string} base
 */

const LAYERS = {
  proposal: "The model's proposal.",
  correction: "The annotator's correction.",
  difference: "The difference: crosses were added, stripes were removed.",
};

export class ReviewDesk {
  /** @type {ReviewParts} */
  #parts;
  #rows = []; // what waits, oldest first
  #current = null; // {task, picture, proposals, instances, difference}
  #ahead = new Map(); // annotation id -> promise of the same
  #layer = "difference";
  #isFixing = false;
  #isBusy = false;
  #isAuthorLooking = false;
  #step = null; // of the replay
  #replay;

  /** @param {ReviewParts} parts */
  constructor(parts) {
    this.#parts = parts;
    const isStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.#replay = createReplay({ say: parts.say, isStill, onStep: (step) => this.#showStep(step) });
    parts.scene.drawMore = (layer, canvas) => this.#draw(layer, canvas);
    parts.store.subscribe((state, changed) => {
      if (changed.has("instances") || changed.has("cursor")) parts.panel.showInstances(state);
    });
  }

  get isLocked() {
    return !this.#isFixing || this.#isBusy;
  }

  get actions() {
    const { editing, editor } = this.#parts;
    const layers = Object.keys(LAYERS).map((layer) => [`layer-${layer}`, () => this.#setLayer(layer)]);
    const fixing = ["accept", "take", "split", "merge", "delete", "fill-holes", "candidate", "undo", "redo"].map(
      (name) => [name, () => this.#fixing(editing.actions[name])],
    );
    return {
      ...editing.actions,
      ...Object.fromEntries([...layers, ...fixing]),
      approve: (event) => this.#decide({ decision: "approve" }, event),
      fix: (event) => this.#fix(event),
      "send-back": () => this.#startComment(),
      next: (event) => this.#walk(1, event),
      previous: (event) => this.#walk(-1, event),
      replay: () => this.#replay.start(this.#current?.instances ?? []),
      select: () => editor.move(1),
      drop: () => this.#drop(),
    };
  }

  async start(annotationId) {
    const { api, slug, cover } = this.#parts;
    cover.show("loading");
    try {
      this.#rows = await api.get(paths.reviews(slug));
    } catch (error) {
      if (error.status !== 403) return cover.show("trouble", error.message);
      this.#isAuthorLooking = true;
    }
    const first = annotationId ?? this.#rows.find((row) => !row.barred)?.id ?? this.#rows[0]?.id;
    return first ? this.#open(first, performance.now()) : this.#end();
  }

  #end() {
    this.#leave();
    this.#parts.panel.showList([], null);
    this.#parts.cover.show("empty");
  }

  #leave() {
    this.#replay.stop();
    this.#current?.picture.close();
    this.#current = null;
    this.#parts.scene.picture = null;
  }

  #fetch(id) {
    if (!this.#ahead.has(id)) this.#ahead.set(id, this.#prepare(id));
    return this.#ahead.get(id);
  }

  async #prepare(id) {
    const task = await this.#parts.api.get(paths.annotation(id));
    const picture = createPicture(task.image, { onChange: () => this.#parts.editing.workspace.invalidate("image") });
    const proposals = proposalsOf(task);
    const instances = instancesFromWire(task.annotation.instances);
    await picture.ready.catch(() => {});
    return { id, task, picture, proposals, instances, difference: differenceOf(proposals, instances) };
  }

  async #open(id, startedAt) {
    const { cover, notices } = this.#parts;
    this.#isBusy = true;
    try {
      const prepared = await this.#fetch(id);
      this.#ahead.delete(id);
      this.#leave();
      this.#show(prepared, startedAt);
    } catch (error) {
      if (!isAbort(error)) cover.show("trouble", error.message);
    } finally {
      this.#isBusy = false;
    }
    this.#current?.picture.ready.catch((error) => notices.show("picture", "error", error.message));
  }

  #show(prepared, startedAt) {
    const { editor, editing, scene, panel, cover, comment } = this.#parts;
    this.#current = prepared;
    this.#isFixing = false;
    comment.close();
    const { task, picture, instances } = prepared;
    Object.assign(scene, { picture, colour: task.concept.colour, pin: null });
    editor.load({
      task,
      proposals: prepared.proposals,
      work: { instances, rejected: task.annotation.rejected_proposals },
    });
    editor.select(null);
    cover.hide();
    panel.showAnnotation(task, prepared.difference);
    this.#setLayer(task.annotation.verdict === "absent" ? "proposal" : "difference");
    editing.show();
    editing.workspace.paintNow();
    measurePainted("roost:next", startedAt);
    panel.showList(this.#rows, prepared.id);
    panel.setReadOnly(this.#whyReadOnly(task));
    history.replaceState(null, "", new URL(`../${prepared.id}/`, this.#parts.base));
    this.#parts.say(describe(task));
    this.#prefetch();
  }

  #whyReadOnly(task) {
    if (this.#isAuthorLooking) return "Only reviewers decide; this is your answer as they see it.";
    if (task.state !== "submitted") return "This one is decided already, or its author has taken it back.";
    const barred = this.#rows[this.#place()]?.barred;
    return barred ? `Somebody else decides on this one: ${barred}.` : null;
  }

  /** The two neighbours in the list are made ready; those further off are let go. */
  #prefetch() {
    const at = this.#place();
    const wanted = new Set([this.#rows[at + 1]?.id, this.#rows[at - 1]?.id].filter(Boolean));
    for (const [id, promise] of this.#ahead) {
      if (wanted.has(id)) continue;
      this.#ahead.delete(id);
      promise.then(
        (prepared) => prepared.picture.close(),
        () => {},
      );
    }
    for (const id of wanted) this.#fetch(id).catch(() => this.#ahead.delete(id));
  }

  #place() {
    return this.#rows.findIndex((row) => row.id === this.#current?.id);
  }

  #walk(step, event) {
    const row = this.#rows[this.#place() + step];
    if (!row) return step > 0 ? "That was the last one." : "This is the first one.";
    return void this.#open(row.id, event?.timeStamp ?? performance.now());
  }

  openRow(id) {
    return void this.#open(id, performance.now());
  }

  #setLayer(layer) {
    const { scene, editing, panel } = this.#parts;
    this.#layer = layer;
    scene.hidesSettled = !this.#isFixing;
    panel.showLayer(layer);
    editing.workspace.invalidate("settled", "live");
    return LAYERS[layer];
  }

  #draw(layer, canvas) {
    const { context, view, unit } = canvas;
    if (!this.#current) return;
    context.setTransform(view.scale, 0, 0, view.scale, view.x, view.y);
    if (layer === "settled" && !this.#isFixing) this.#drawLayer(context, unit / view.scale);
    if (layer === "live" && this.#step) drawPrompts(canvas, { ...this.#step, state: "idle" }, this.#step.shown);
  }

  #drawLayer(context, pixel) {
    const { proposals, instances, difference, task } = this.#current;
    const { colour } = task.concept;
    if (this.#layer === "proposal")
      for (const { mask } of proposals) drawMask(context, mask, { colour, fill: 0.2, width: 2, dash: [5, 4] }, pixel);
    if (this.#layer === "correction")
      for (const { mask } of instances) drawMask(context, mask, { colour, fill: 0.3, width: 2 }, pixel);
    if (this.#layer !== "difference") return;
    for (const { mask } of instances) drawMask(context, mask, { colour, width: 1.5 }, pixel);
    const looks = differenceLooks(context, pixel);
    drawMask(context, difference.removed, looks.removed, pixel);
    drawMask(context, difference.added, looks.added, pixel);
  }

  #showStep(step) {
    this.#step = step;
    this.#parts.editing.workspace.invalidate("live");
  }

  #fixing(action) {
    return this.#isFixing ? action() : "Press F first to fix it.";
  }

  #fix(event) {
    if (!this.#mayDecide()) return this.#parts.panel.readOnlyReason;
    if (!this.#isFixing) return this.#startFixing();
    const { store, editor } = this.#parts;
    if (store.state.hand) editor.acceptHand();
    if (store.state.hand) return "The mask in hand is not done: wait for it, or drop it with Esc.";
    const { instances } = store.state;
    return this.#decide(
      { decision: "fix", verdict: instances.length ? "present" : "absent", instances: wireInstances(instances) },
      event,
    );
  }

  #startFixing() {
    this.#isFixing = true;
    this.#replay.stop();
    this.#setLayer("correction");
    this.#parts.panel.showFixing(true);
    return "Fixing: click, paint, erase; F once more saves and approves, Esc gives up.";
  }

  #drop() {
    const { store, editing, editor } = this.#parts;
    if (!this.#isFixing || store.state.hand || store.state.pending) return editing.actions.drop();
    const { task, proposals, instances } = this.#current;
    this.#isFixing = false;
    editor.load({ task, proposals, work: { instances, rejected: task.annotation.rejected_proposals } });
    this.#parts.panel.showFixing(false);
    this.#setLayer("correction");
    return "Fixing given up: as the annotator left it.";
  }

  #startComment() {
    if (!this.#mayDecide()) return this.#parts.panel.readOnlyReason;
    this.#parts.comment.open();
    return "Say what to do; a click on the picture pins it.";
  }

  setPin(pin) {
    this.#parts.scene.pin = pin;
    this.#parts.editing.workspace.invalidate("live");
  }

  sendBack(comment) {
    return this.#decide({ decision: "send_back", comment, pin: this.#parts.scene.pin });
  }

  #mayDecide() {
    return Boolean(this.#current) && !this.#parts.panel.readOnlyReason;
  }

  async #decide(body, event) {
    if (!this.#mayDecide()) return this.#parts.panel.readOnlyReason;
    if (this.#isBusy) return null;
    if (this.#isFixing && body.decision === "approve") return "You are fixing it: F saves it, Esc gives up.";
    this.#isBusy = true;
    try {
      await this.#parts.api.post(paths.annotation(this.#current.id, "review"), body);
    } catch (error) {
      if (error.code !== "already_reviewed") {
        this.#isBusy = false;
        return error.message;
      }
    }
    this.#isBusy = false;
    await this.#goOn(event?.timeStamp ?? performance.now());
    return { approve: "Approved.", fix: "Fixed and approved.", send_back: "Sent back to its author." }[body.decision];
  }

  /** The decided one leaves the list; the one after it opens. */
  async #goOn(startedAt) {
    const at = this.#place();
    this.#rows = this.#rows.filter((row) => row.id !== this.#current.id);
    const next = this.#rows[Math.max(at, 0)] ?? this.#rows[0];
    if (next) await this.#open(next.id, startedAt);
    else this.#end();
  }
}

function describe({ concept, annotation }) {
  const said = annotation.verdict === "absent" ? "not in this image" : `${annotation.instances.length} marked`;
  return `${concept.name}: ${annotation.author} says ${said}.`;
}
