/** What lies over the stage while there is no image: start, loading, the end of the queue, trouble. */

export function createCover(root, { onStart }) {
  const faces = [...root.querySelectorAll("[data-cover]")];
  for (const button of root.querySelectorAll("[data-start]"))
    button.addEventListener("click", (event) => onStart(event));

  return {
    show(name, message) {
      root.hidden = false;
      for (const face of faces) face.hidden = face.dataset.cover !== name;
      const face = faces.find((one) => one.dataset.cover === name);
      if (message) face.querySelector("[data-role=message]").textContent = message;
      face.querySelector("[data-start]")?.focus();
    },
    hide() {
      root.hidden = true;
    },
  };
}
