/** The reviewer's side panel: what was answered, how it differs, what waits. Text only, no HTML. */

import { element, rolesOf, showSelected } from "../page/panel.js";

const ORIGINS = {
  proposal: "accepted proposal",
  click: "clicked",
  drawn: "drawn by hand",
  exemplar: "found by example",
  box: "drawn by the model in an imported box",
};

export class ReviewPanel {
  /** Why this one can't be decided here; null when it can. */
  readOnlyReason = null;
  #root;
  #role;
  #onOpen;
  #onSelect;

  constructor(root, { onOpen, onSelect }) {
    this.#root = root;
    this.#role = rolesOf(root);
    this.#onOpen = onOpen;
    this.#onSelect = onSelect;
  }

  showAnnotation(task, difference) {
    const { annotation, concept, image, proposal, reasons } = task;
    const isAbsent = annotation.verdict === "absent";
    this.#role("swatch").style.backgroundColor = concept.colour;
    this.#setTexts({
      concept: concept.name,
      "image-name": image.name,
      author: `${annotation.author}, revision ${annotation.revision}`,
      verdict: isAbsent ? "Not in this image" : `In the image, ${annotation.instances.length} marked`,
      seconds: `${annotation.active_seconds.toFixed(1)} s`,
      model: proposal ? `${proposal.model_version}, presence ${proposal.presence.toFixed(2)}` : "none",
      rejected: `${annotation.rejected_proposals.length} of ${proposal?.instances.length ?? 0} proposals`,
      iou: task.difference ? task.difference.iou.toFixed(3) : "–",
      added: `${difference.addedPx} px`,
      removed: `${difference.removedPx} px`,
    });
    this.#role("reasons").replaceChildren(...reasons.map(({ words }) => element("li", { textContent: words })));
    this.showFixing(false);
  }

  showInstances({ instances, cursor }) {
    const rows = instances.map((one, i) => {
      const isSelected = cursor?.kind === "instance" && cursor.key === one.key;
      const row = listRow(`${i + 1} · ${originOf(one)}`, isSelected, () => this.#onSelect(one.key));
      row.firstChild.setAttribute("aria-pressed", String(isSelected));
      return row;
    });
    this.#role("instances").replaceChildren(...rows);
    this.#role("no-instances").hidden = rows.length > 0;
  }

  showList(rows, currentId) {
    this.#setTexts({ waiting: String(rows.length) });
    const items = rows.map((row) => {
      const words = `${row.concept} · ${row.image.name} · ${row.author}${row.barred ? ` (${row.barred})` : ""}`;
      const item = listRow(words, row.id === currentId, () => this.#onOpen(row.id));
      item.firstChild.classList.add("truncate");
      if (row.id === currentId) item.firstChild.setAttribute("aria-current", "true");
      return item;
    });
    this.#role("list").replaceChildren(...items);
    showSelected(this.#role("list"));
  }

  setReadOnly(reason) {
    this.readOnlyReason = reason;
    this.#role("read-only").hidden = !reason;
    this.#setTexts({ "read-only": reason ?? "" });
    for (const button of this.#root.querySelectorAll("[data-decides]")) button.disabled = Boolean(reason);
  }

  showLayer(layer) {
    for (const button of this.#root.querySelectorAll("[data-action^=layer-]")) {
      button.setAttribute("aria-pressed", String(button.dataset.action === `layer-${layer}`));
    }
  }

  showFixing(isFixing) {
    this.#setTexts({ "fix-label": isFixing ? "Save and approve" : "Fix" });
    this.#role("fixing").hidden = !isFixing;
  }

  #setTexts(texts) {
    for (const [name, text] of Object.entries(texts)) this.#role(name).textContent = text;
  }
}

function originOf({ origin, prompts, edited }) {
  const count = prompts.filter((prompt) => !prompt.box).length;
  const clicks = count ? `, ${count} click${count > 1 ? "s" : ""}` : "";
  const framed = origin === "click" && count < prompts.length ? ", a box" : "";
  return `${ORIGINS[origin]}${framed}${clicks}${edited ? ", edited" : ""}`;
}

function listRow(words, isSelected, onclick) {
  const button = element("button", { type: "button", className: "desk-item", textContent: words, onclick });
  return element("li", isSelected ? { dataset: { selected: "" } } : {}, button);
}
