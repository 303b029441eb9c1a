// A run's plots: loss and validation, growing while it trains.
import { STROKES, chartOptions, colour, keepChart, lineOf, readJson } from "./charts.js";

const POLL_MS = 2000;
const LOSSES = ["total", "presence", "class", "box", "giou", "mask", "dice"];
const LEARNING = ["learning_rate", "images_per_s"];
const METRICS = ["cgf1", "pmf1", "il_mcc"];
const GPU = ["memory", "utilisation", "temperature"];
const NAMES = {
  cgf1: "CGF1",
  pmf1: "pmF1",
  il_mcc: "IL_MCC",
  memory: "memory %",
  utilisation: "load %",
  temperature: "°C",
};
const LINES = ["plot-1", "plot-2", "plot-4"];
const DASHES = [[], [7, 4], [2, 3]];

let series = readJson("series-data");

function lines(rows, keys, factor = 1, by = "step") {
  return keys.map((key, place) => {
    const told = rows.filter((row) => Number.isFinite(row[key])).map((row) => ({ x: row[by], y: row[key] * factor }));
    return lineOf(NAMES[key] ?? key, told, { token: LINES[place], dash: DASHES[place] });
  });
}

const stepAxis = () => ({ type: "linear", ticks: { precision: 0, color: colour("ink-soft") } });
const lossConfig = () => ({
  type: "line",
  data: { datasets: lines(series.loss, ["total", "mask", "presence"]) },
  options: chartOptions({ x: "step", y: "loss", key: STROKES, xMore: stepAxis() }),
});
const validationConfig = () => ({
  type: "line",
  data: { datasets: lines(series.validation, METRICS, 100) },
  options: chartOptions({ x: "step", y: "points of 100", key: STROKES, xMore: stepAxis() }),
});

const learningConfig = (key, words) => () => ({
  type: "line",
  data: { datasets: lines(series.loss, [key]) },
  options: chartOptions({ x: "step", y: words, legend: false, xMore: stepAxis() }),
});
const gpuConfig = () => ({
  type: "line",
  data: { datasets: lines(series.gpu, GPU, 1, "minute") },
  options: chartOptions({ x: "minute", y: "%, °C", key: STROKES, xMore: { type: "linear" } }),
});

// A plot of what has not been told yet is out of sight: not every run has a GPU.
function keepPlot(id, configure) {
  const canvas = document.getElementById(id);
  const card = canvas.closest("[data-plot]");
  let redraw = null;
  return () => {
    const told = configure().data.datasets.some((line) => line.data.length > 0);
    card.hidden = !told;
    if (told && redraw) redraw();
    else if (told) redraw = keepChart(canvas, configure);
  };
}

function fillRows(id, rows, keys, format, by = "step") {
  document.getElementById(id).replaceChildren(
    ...rows.map((row) => {
      const line = document.createElement("tr");
      for (const key of [by, ...keys]) {
        const cell = line.insertCell();
        cell.className = "num";
        cell.textContent = key === by ? row[by] : Number.isFinite(row[key]) ? format(row[key], key) : "–";
      }
      return line;
    }),
  );
}

function fillTables() {
  fillRows("loss-rows", series.loss, [...LOSSES, ...LEARNING], (value, key) =>
    LEARNING.includes(key) ? value.toPrecision(3) : value.toFixed(3),
  );
  fillRows("gpu-rows", series.gpu, GPU, (value) => value.toFixed(1), "minute");
  fillRows("validation-rows", series.validation, METRICS, (value) => (100 * value).toFixed(1));
}

async function follow(url, redraw) {
  let answer;
  try {
    const response = await fetch(url, { headers: { Accept: "application/json" } });
    if (response.redirected || response.status === 401) return location.reload();
    answer = await response.json();
  } catch {
    return setTimeout(() => follow(url, redraw), 2 * POLL_MS); // the server may be restarting
  }
  series = answer.series;
  for (const place of document.querySelectorAll("[data-fact]"))
    place.textContent = answer.facts[place.dataset.fact] ?? "–";
  redraw();
  document.dispatchEvent(new CustomEvent("run:told", { detail: answer }));
  if (!answer.ended) setTimeout(() => follow(url, redraw), POLL_MS);
}

const plots = [
  keepPlot("rate", learningConfig("learning_rate", "learning rate")),
  keepPlot("speed", learningConfig("images_per_s", "images a second")),
  keepPlot("gpu", gpuConfig),
];
for (const plot of plots) plot();
const redraws = [
  keepChart(document.getElementById("loss"), lossConfig),
  keepChart(document.getElementById("validation"), validationConfig),
  ...plots,
  fillTables,
];
fillTables();
const { seriesUrl } = document.getElementById("plots").dataset;
const redrawAll = () => {
  for (const redraw of redraws) redraw();
};
if (seriesUrl) setTimeout(() => follow(seriesUrl, redrawAll), POLL_MS);
