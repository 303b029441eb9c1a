/** Starts the reviewer's desk: reads the page's data-* attributes and wires the parts. */

import { Border } from "../model/border.js";
import { Clicker } from "../model/clicker.js";
import { createCover } from "../page/cover.js";
import { Editing } from "../stage/editing.js";
import { Editor } from "../work/editor.js";
import { bindActions, openPage, showModelState, showTool } from "../page/page.js";
import { ReviewDesk } from "./review.js";
import { ReviewPanel } from "./panel.js";
import { REVIEW_SHORTCUTS } from "../page/shortcuts.js";
import { createStore } from "../work/store.js";
import { measurePainted } from "../page/timing.js";
import { EMPTY_WORK } from "../work/work.js";
import { createPinTool } from "../stage/tools/pin.js";

const root = document.getElementById("main");
const page = openPage(root, { table: REVIEW_SHORTCUTS, name: "review" });
const { api, role, notices, say, settings } = page;
const { slug, annotationId } = root.dataset;

const store = createStore(EMPTY_WORK);
const editor = new Editor(store);
const scene = {
  picture: null,
  colour: "#0072b2",
  pin: null,
  hidesSettled: true,
  isLocked: () => desk.isLocked,
  lockedReason: () => "Press F first to fix it.",
};
const tell = (state) => showModelState(notices, state);
const clicker = new Clicker({
  api,
  store,
  editor,
  tell,
  onMask: (startedAt) => measurePainted("roost:click", startedAt),
  onSlow: () => say("The model is looking at this image …"),
});
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
const panel = new ReviewPanel(root, {
  onOpen: (id) => desk.openRow(id),
  onSelect: (key) => editor.select({ kind: "instance", key }),
});
const cover = createCover(role("cover"), { onStart: () => desk.start(null) });
const comment = createComment();
const desk = new ReviewDesk({
  api,
  slug,
  store,
  editor,
  editing,
  scene,
  panel,
  cover,
  notices,
  comment,
  say,
  base: root.dataset.base,
});

function onToolChanged(name) {
  showTool(root, name);
  role("brush-size").value = String(settings.get("brush"));
}

/** The form for sending back; while it is open a click on the picture pins the comment. */
function createComment() {
  const form = role("comment-form");
  const text = role("comment");
  const pinTool = createPinTool({ image: () => store.state.image, onPin });

  /** Back to the words: whoever has pinned them goes on writing, or sends them. */
  function onPin(pin) {
    desk.setPin(pin);
    text.focus({ preventScroll: true });
    say("Pinned. Ctrl+Enter sends it back.");
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!text.value.trim()) return say("Say in a few words what to do: the author sees only that.");
    return say(await desk.sendBack(text.value.trim()));
  });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  role("comment-cancel").addEventListener("click", close);

  function open() {
    form.hidden = false;
    editing.workspace.setTool(pinTool);
    text.focus();
  }

  function close() {
    if (form.hidden) return;
    form.hidden = true;
    text.value = "";
    desk.setPin(null);
    editing.actions["tool-point"]();
    role("stage").focus({ preventScroll: true });
  }

  return { open, close };
}

role("brush-size").addEventListener("input", (event) => {
  settings.set("brush", Number(event.target.value));
  editing.workspace.invalidate("live");
});
onToolChanged("point");
bindActions(page, { ...desk.actions, help: () => page.sheet.show() });
desk.start(annotationId ? Number(annotationId) : null);
