// Runs side by side: one figure of theirs at a time, a line and a column for each run.
import { STROKES, chartOptions, colour, keepChart, lineOf, readJson } from "./charts.js";

const LINES = ["plot-1", "plot-2", "plot-4"];
const DASHES = [[], [7, 4]];
const POINTS_OF_100 = new Set(["cgf1", "pmf1", "il_mcc", "il_fpr"]);

const runs = readJson("compared-data") ?? [];
const choice = document.getElementById("figure");

function chosen() {
  const [kind, key] = choice.value.split(" ");
  const factor = POINTS_OF_100.has(key) ? 100 : 1;
  return { kind, key, factor, unit: factor === 100 ? "points of 100" : choice.selectedOptions[0].label };
}

function pointsOf(run, { kind, key, factor }) {
  const told = (run[kind] ?? []).filter((row) => Number.isFinite(row[key]));
  return told.map((row) => ({ x: row.step, y: row[key] * factor }));
}

// Three colours, then the same dashed: told apart without colour, too, as the legend shows the stroke.
const line = (run, place) => ({
  ...lineOf(run.name, pointsOf(run, chosen()), {
    token: LINES[place % LINES.length],
    dash: DASHES[Math.floor(place / LINES.length) % DASHES.length],
  }),
  pointStyle: ["circle", "rect", "triangle"][place % LINES.length],
  pointRadius: 3,
});

const configure = () => ({
  type: "line",
  data: { datasets: runs.map(line) },
  options: chartOptions({
    x: "step",
    y: chosen().unit,
    key: STROKES,
    xMore: { type: "linear", ticks: { precision: 0, color: colour("ink-soft") } },
  }),
});

function cellWords(value, factor) {
  if (value === undefined) return "–";
  return factor === 100 ? value.toFixed(1) : value.toPrecision(4);
}

function fillTable() {
  const figure = chosen();
  const columns = runs.map((run) => new Map(pointsOf(run, figure).map((point) => [point.x, point.y])));
  const steps = [...new Set(columns.flatMap((column) => [...column.keys()]))].sort((one, other) => one - other);
  document.getElementById("compared-none").hidden = steps.length > 0;
  document.getElementById("compared-rows").replaceChildren(
    ...steps.map((step) => {
      const row = document.createElement("tr");
      for (const words of [step, ...columns.map((column) => cellWords(column.get(step), figure.factor))]) {
        const cell = row.insertCell();
        cell.className = "num";
        cell.textContent = words;
      }
      return row;
    }),
  );
}

if (choice) {
  const redraw = keepChart(document.getElementById("compared"), configure);
  fillTable();
  choice.addEventListener("change", () => {
    redraw();
    fillTable();
  });
}
