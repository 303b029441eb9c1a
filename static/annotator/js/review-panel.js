/** The reviewer's side panel: what was answered, how it differs, what waits. Text only, no HTML. */

import { element, showSelected } from "./panel.js";

const ORIGINS = { proposal: "accepted proposal", click: "clicked", drawn: "drawn by hand" };

export function createReviewPanel(root, { onOpen, onSelect }) {
  const role = (name) => root.querySelector(`[data-role=${name}]`);
  const setText = (name, text) => (role(name).textContent = text);
  let readOnlyReason = null;

  function showAnnotation(task, difference) {
    const { annotation, concept, image, proposal } = task;
    setText("concept", concept.name);
    role("swatch").style.backgroundColor = concept.colour;
    setText("image-name", image.name);
    setText("author", `${annotation.author}, revision ${annotation.revision}`);
    setText("verdict", annotation.verdict === "absent" ? "Not in this image" : `In the image, ${annotation.instances.length} marked`);
    setText("seconds", `${annotation.active_seconds.toFixed(1)} s`);
    setText("model", proposal ? `${proposal.model_version}, presence ${proposal.presence.toFixed(2)}` : "none");
    setText("rejected", `${annotation.rejected_proposals.length} of ${proposal?.instances.length ?? 0} proposals`);
    setText("iou", task.difference.iou === null ? "–" : task.difference.iou.toFixed(3));
    setText("added", `${difference.addedPx} px`);
    setText("removed", `${difference.removedPx} px`);
    role("reasons").replaceChildren(...task.reasons.map(({ words }) => element("li", { textContent: words })));
    showMending(false);
    if (task.state !== "submitted") setReadOnly("This one is decided already.");
  }

  function showInstances({ instances, cursor }) {
    const rows = instances.map((one, i) => {
      const clicks = one.prompts.length ? `, ${one.prompts.length} click${one.prompts.length > 1 ? "s" : ""}` : "";
      const words = `${i + 1} · ${ORIGINS[one.origin]}${clicks}${one.edited ? ", edited" : ""}`;
      const button = element("button", { type: "button", className: "desk-item", textContent: words, onclick: () => onSelect(one.key) });
      const isSelected = cursor?.kind === "instance" && cursor.key === one.key;
      button.setAttribute("aria-pressed", String(isSelected));
      return element("li", isSelected ? { dataset: { selected: "" } } : {}, button);
    });
    role("instances").replaceChildren(...rows);
    role("no-instances").hidden = rows.length > 0;
  }

  function showList(rows, currentId) {
    setText("waiting", String(rows.length));
    const items = rows.map((row) => {
      const isCurrent = row.id === currentId;
      const words = `${row.concept} · ${row.image.name} · ${row.author}${row.is_own ? " (yours)" : ""}`;
      const button = element("button", { type: "button", className: "desk-item truncate", textContent: words, onclick: () => onOpen(row.id) });
      if (isCurrent) button.setAttribute("aria-current", "true");
      return element("li", isCurrent ? { dataset: { selected: "" } } : {}, button);
    });
    role("list").replaceChildren(...items);
    showSelected(role("list"));
    const isOwn = rows.find((row) => row.id === currentId)?.is_own;
    if (isOwn) setReadOnly("This is your own work: somebody else reviews it.");
    else if (rows.some((row) => row.id === currentId)) setReadOnly(null);
  }

  function setReadOnly(reason) {
    readOnlyReason = reason;
    role("read-only").hidden = !reason;
    setText("read-only", reason ?? "");
    for (const button of root.querySelectorAll("[data-decides]")) button.disabled = Boolean(reason);
  }

  function showLayer(layer) {
    for (const button of root.querySelectorAll("[data-action^=layer-]")) {
      button.setAttribute("aria-pressed", String(button.dataset.action === `layer-${layer}`));
    }
  }

  function showMending(isMending) {
    role("fix-label").textContent = isMending ? "Save and approve" : "Fix";
    root.toggleAttribute("data-mending", isMending);
  }

  return {
    showAnnotation,
    showInstances,
    showList,
    showLayer,
    showMending,
    setReadOnly,
    get readOnlyReason() {
      return readOnlyReason;
    },
  };
}
