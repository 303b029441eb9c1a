// The help page prints the desk's own table of keys, a person's changes included.
import { createKeymap, fillKeySheet } from "../../annotator/js/page/keyboard.js";
import { DESK_SHORTCUTS, REVIEW_SHORTCUTS } from "../../annotator/js/page/shortcuts.js";

fillKeySheet(document.getElementById("desk-keys"), createKeymap(DESK_SHORTCUTS, "desk", localStorage));
fillKeySheet(document.getElementById("review-keys"), createKeymap(REVIEW_SHORTCUTS, "review", localStorage));
