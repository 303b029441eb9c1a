import assert from "node:assert/strict";
import { test } from "node:test";

import { HALO } from "../../static/annotator/js/stage/mask-layer.js";

/** What a half-transparent grey leaves on a grey ground, 0..255. */
const over = (ground, style) => {
  const [red, , , percent] = style.match(/\d+/g).map(Number);
  return ground + ((red - ground) * percent) / 100;
};

/** Relative luminance of a grey and contrast, by WCAG 2.2. */
const luminance = (grey) => (grey <= 10 ? grey / 255 / 12.92 : ((grey / 255 + 0.055) / 1.055) ** 2.4);
const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);

test("on every ground from black to white the halo stands out as graphics must, 3 to 1", () => {
  for (let ground = 0; ground <= 255; ground++) {
    const dark = over(ground, HALO.dark);
    const light = over(dark, HALO.light); // drawn on the dark one
    const best = Math.max(...[dark, light].map((grey) => contrast(luminance(grey), luminance(ground))));
    assert.ok(best >= 3, `${best.toFixed(2)} on ${ground}`);
  }
});
