/** Starts the annotator's desk: reads the page's data-* attributes and wires the parts. */

import { Border } from "../model/border.js";
import { Clicker } from "../model/clicker.js";
import { createCover } from "../page/cover.js";
import { Desk } from "./desk.js";
import { Drafts } from "./drafts.js";
import { Editing } from "../stage/editing.js";
import { Editor } from "../work/editor.js";
import { Feed } from "./feed.js";
import { Finder } from "../model/finder.js";
import { createGoal } from "./goal.js";
import { Outbox } from "./outbox.js";
import { bindActions, openPage, showModelState, showTool } from "../page/page.js";
import { Panel } from "../page/panel.js";
import { createSession } from "./session.js";
import { DESK_SHORTCUTS } from "../page/shortcuts.js";
import { createStore } from "../work/store.js";
import { Strip } from "./concept-strip.js";
import { measurePainted } from "../page/timing.js";
import { EMPTY_WORK } from "../work/work.js";

const root = document.getElementById("main");
const page = openPage(root, { table: DESK_SHORTCUTS, name: "desk" });
const { api, role, notices, say, settings } = page;
const { slug, taskId } = root.dataset;

const store = createStore(EMPTY_WORK);
const editor = new Editor(store);
const scene = {
  picture: null,
  colour: "#0072b2",
  pin: null,
  isLocked: () => desk.isLocked,
  lockedReason: () => desk.lockedReason,
};
const tell = (state) => showModelState(notices, state);
const clicker = new Clicker({
  api,
  store,
  editor,
  tell,
  onMask,
  onSlow: () => say("The model is looking at this image …"),
});
const finder = new Finder({ api, store, editor, say, tell, onSlow: showSearch });
const border = new Border({ api, store, editor, say, tell });
const editing = new Editing({
  stage: role("stage"),
  store,
  editor,
  clicker,
  border,
  settings,
  say,
  scene,
  onTool: onToolChanged,
});
const session = createSession(page.sitting);
const drafts = new Drafts({
  api,
  storage: page.storage,
  choose: (theirs) => desk.choose(theirs),
  onTheirs: (id, payload) => desk.takeUp(id, payload),
  onState: onDraftState,
});
const outbox = new Outbox({
  api,
  storage: page.outgoing,
  before: (id) => drafts.close(id),
  onDone: (item, answer) => {
    desk.submitted(item, answer);
    void goal.refresh();
  },
  onRefused: ({ taskId, body }, error) =>
    notices.show(`refused-${taskId}`, "error", `Not taken (${body.concept}): ${error.message}`),
  onState: onOutboxState,
});
const goal = createGoal({ api, slug, role, settings });
const feed = new Feed({ api, slug, outbox, onPicture: () => editing.workspace.invalidate("image") });
const panel = new Panel(root, {
  onSelect: (cursor) => editor.select(cursor),
  onAccept: ({ key }) => say(desk.decide(() => editor.acceptProposal(key))),
  onReject: (cursor) => say(decideAt(cursor, () => editor.reject())),
  onRemove: (cursor) => say(decideAt(cursor, () => editor.remove())),
});
const cover = createCover(role("cover"), { onStart: (event) => desk.start(null, event.timeStamp) });
const dialogs = { draft: role("draft-dialog") };
const desk = new Desk({
  api,
  store,
  editor,
  editing,
  feed,
  drafts,
  outbox,
  panel,
  strip: new Strip({ root: role("concepts"), transfers: role("transfers"), keymap: page.keymap }),
  notices,
  session,
  settings,
  cover,
  dialogs,
  scene,
  say,
});

function decideAt(cursor, decide) {
  return desk.decide(() => {
    editor.select(cursor);
    return decide();
  });
}

function onMask(startedAt) {
  measurePainted("roost:click", startedAt);
  const { score, candidates } = store.state.hand;
  const others = candidates.length > 1 ? `, C shows ${candidates.length - 1} others` : "";
  say(`Mask in hand, score ${score.toFixed(2)}: Enter accepts${others}.`);
}

function showSearch(isSlow) {
  if (isSlow) notices.show("similar", "info", "The model is looking for more like this …");
  else notices.clear("similar");
}

function onDraftState({ kind, message }) {
  panel.setText("saved", kind === "saved" ? "Saved" : "Kept in this browser");
  if (kind === "saved") notices.clear("draft");
  else notices.show("draft", kind === "waiting" ? "warning" : "error", message);
}

function onOutboxState(count, error) {
  if (!count) return notices.clear("outbox");
  const words = count === 1 ? "1 answer waits" : `${count} answers wait`;
  return notices.show("outbox", "warning", `${words} in this browser to be sent. ${error?.message ?? ""}`);
}

function onToolChanged(name) {
  showTool(root, name);
  role("brush-size").value = String(settings.get("brush"));
}

function bindFields() {
  const threshold = role("threshold");
  const showThreshold = () => (role("threshold-value").textContent = Number(threshold.value).toFixed(2));
  threshold.value = String(settings.get("threshold"));
  threshold.addEventListener("input", () => {
    settings.set("threshold", Number(threshold.value));
    showThreshold();
  });
  showThreshold();
  role("brush-size").addEventListener("input", (event) => {
    settings.set("brush", Number(event.target.value));
    editing.workspace.invalidate("live");
  });
  onToolChanged("point");
}

const actions = { ...desk.actions, help: () => page.sheet.show() };
actions.similar = () => desk.decide(() => finder.find());
actions.hover = () => {
  const sentence = desk.actions.hover();
  root.querySelector("[data-action=hover]")?.setAttribute("aria-pressed", String(settings.get("hover")));
  return sentence;
};
bindActions(page, actions);
bindFields();
void goal.refresh();
document.addEventListener("visibilitychange", () => !document.hidden && goal.refresh());
const [navigation] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation"));
const isReload = navigation?.type === "reload";
if (taskId || (isReload && session.values.started)) desk.start(taskId ? Number(taskId) : null);
else cover.show("start");
