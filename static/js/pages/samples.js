// Draws each sample image with what the model found on it, what it made up and what it missed.
import { readJson } from "./charts.js";
import { keepPicture } from "./masks-on-picture.js";

const samples = readJson("samples-data") ?? [];
for (const canvas of document.querySelectorAll("canvas[data-sample]")) {
  const sample = samples[Number(canvas.dataset.sample)];
  keepPicture(canvas, sample, sample[canvas.dataset.side].masks);
}
