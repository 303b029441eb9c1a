/** Moving the picture. The workspace itself pans with the middle button and two fingers; this is the tool for one. */

export function createPanTool({ panBy }) {
  let last = null;
  return {
    name: "pan",
    cursor: "grab",
    down(event) {
      last = event.screen;
    },
    move(event) {
      if (!last) return;
      panBy(event.screen.x - last.x, event.screen.y - last.y);
      last = event.screen;
    },
    up() {
      last = null;
    },
    cancel() {
      last = null;
    },
  };
}
