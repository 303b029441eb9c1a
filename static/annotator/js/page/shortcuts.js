/**
 * The one table of keys: it binds them, prints the `?` sheet and the help page, and fills `aria-keyshortcuts`.
 * `action` is also the `data-action` of the button that does the same.
 */

const row = (action, keys, group, label) => Object.freeze({ action, keys: Object.freeze(keys), group, label });

/** What a key held down does again and again. */
export const REPEATING = new Set([
  ...["pointer-left", "pointer-right", "pointer-up", "pointer-down"],
  ...["smaller", "larger", "zoom-in", "zoom-out", "next", "previous"],
]);

const TOOLS = [
  row("tool-point", ["V"], "Tools", "Point and box: click adds, right click or Shift takes away, drag draws a box"),
  row("tool-brush", ["B"], "Tools", "Brush: paint pixels on"),
  row("tool-eraser", ["E"], "Tools", "Eraser: take pixels off"),
  row("tool-polygon", ["P"], "Tools", "Polygon: click corners, click the first one to close"),
  row("tool-pan", ["M"], "Tools", "Move the picture (with any tool: middle button, or Space held while dragging)"),
  row("smaller", ["["], "Tools", "Smaller brush or eraser; with the other tools: the mask tighter"),
  row("larger", ["]"], "Tools", "Larger brush or eraser; with the other tools: the mask looser"),
  row("split", ["L"], "Tools", "Split the selected instance into its parts"),
  row("fill-holes", ["O"], "Tools", "Fill the holes of the mask in hand"),
  row("undo", ["Ctrl+Z", "Backspace"], "Tools", "Undo; with nothing to undo, reopen the task before"),
  row("redo", ["Ctrl+Shift+Z", "Ctrl+Y"], "Tools", "Redo"),
];

const VIEW = [
  row("zoom-object", ["Z"], "View", "Zoom to the object"),
  row("zoom-fit", ["0"], "View", "Fit the picture"),
  row("zoom-actual", ["Shift+Z"], "View", "One picture pixel on one screen pixel"),
  row("zoom-in", ["+", "="], "View", "Zoom in"),
  row("zoom-out", ["-"], "View", "Zoom out"),
  row("hide-masks", ["U"], "View", "Hide or show the masks"),
  row("help", ["?"], "View", "Show the keys"),
];

const CONCEPTS = [1, 2, 3, 4, 5, 6, 7, 8, 9].map((number) =>
  row(`concept-${number}`, [String(number)], "Several concepts", `Concept ${number} in hand`),
);

const KEYBOARD_POINTER = [
  row("pointer-left", ["ArrowLeft", "Shift+ArrowLeft"], "Without a mouse", "Cross-hair left (Shift: far)"),
  row("pointer-right", ["ArrowRight", "Shift+ArrowRight"], "Without a mouse", "Cross-hair right"),
  row("pointer-up", ["ArrowUp", "Shift+ArrowUp"], "Without a mouse", "Cross-hair up"),
  row("pointer-down", ["ArrowDown", "Shift+ArrowDown"], "Without a mouse", "Cross-hair down"),
  row("point-add", ["."], "Without a mouse", "Add the place under the cross-hair"),
  row("point-subtract", [","], "Without a mouse", "Take away the place under the cross-hair"),
];

export const DESK_SHORTCUTS = Object.freeze([
  row("accept", ["Enter"], "Decide", "Accept the mask in hand, else the proposal"),
  row("reject", ["X"], "Decide", "Reject the proposal: a false positive"),
  row("next", ["J"], "Decide", "Next proposal or instance"),
  row("previous", ["K"], "Decide", "Previous proposal or instance"),
  row("auto-accept", ["A"], "Decide", "Accept all proposals over the chosen score"),
  row("candidate", ["C"], "Decide", "Next candidate for the mask in hand"),
  row("similar", ["F"], "Decide", "Find more like the object at hand"),
  row("drop", ["Escape"], "Decide", "Drop the mask in hand"),
  row("take", ["R"], "Decide", "Take the selected mask in hand to fix it"),
  row("delete", ["Delete"], "Decide", "Remove the selected instance"),
  row("absent", ["N"], "Finish", "Not in this image: submit that and go on; of several concepts: to the next"),
  row(
    "submit",
    ["Space", "Ctrl+Enter"],
    "Finish",
    "Submit and go on; of several concepts: first to what is not decided",
  ),
  row("skip", ["S"], "Finish", "Skip: back to the queue, behind the others"),
  ...CONCEPTS,
  row("copy", ["D"], "Several concepts", "Copy the selected instance to another concept"),
  row("move", ["Shift+D"], "Several concepts", "Move the selected instance to another concept"),
  ...TOOLS,
  row("merge", ["G"], "Tools", "Merge the selected instance with the one selected next: press twice"),
  row("hover", ["H"], "View", "Preview the mask under the pointer, on or off"),
  ...VIEW,
  ...KEYBOARD_POINTER,
]);

export const REVIEW_SHORTCUTS = Object.freeze([
  row("approve", ["A"], "Decide", "Approve and open the next"),
  row("fix", ["F"], "Decide", "Fix it with the tools; once more: save as fixed and approved"),
  row("send-back", ["R"], "Decide", "Send back with a comment"),
  row("next", ["J"], "Decide", "Next in the list"),
  row("previous", ["K"], "Decide", "Previous in the list"),
  row("layer-proposal", ["2"], "View", "The model's proposal"),
  row("layer-correction", ["3"], "View", "The annotator's correction"),
  row("layer-difference", ["4"], "View", "The difference: added and removed"),
  row("replay", ["C"], "View", "Replay the annotator's clicks"),
  row("accept", ["Enter"], "While fixing", "Accept the mask in hand"),
  row("take", ["T"], "While fixing", "Take the selected instance in hand"),
  row("select", ["G"], "While fixing", "Select the next proposal or instance"),
  row("merge", ["Shift+G"], "While fixing", "Merge the selected instance with the one selected next: press twice"),
  row("delete", ["Delete"], "While fixing", "Remove the selected instance"),
  row("drop", ["Escape"], "While fixing", "Drop the mask in hand; stop fixing"),
  ...TOOLS.filter((entry) => entry.action !== "undo"),
  row("undo", ["Ctrl+Z", "Backspace"], "Tools", "Undo"),
  ...VIEW,
  ...KEYBOARD_POINTER,
]);
