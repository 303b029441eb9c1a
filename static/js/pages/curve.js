// The learning curve: versions that served joined by a line, those kept back apart, random order and the goal dashed.
import { chartOptions, colour, keepChart, readJson } from "./charts.js";
import { whiskers } from "./whiskers.js";

const TOKENS = { "as shipped": "plot-3", promoted: "plot-1", "kept back": "plot-2" };

/** One dataset a state, so that the legend shows each with its own form; all of its points have whiskers. */
function marksOf(points, state) {
  const some = points.filter((point) => point.state === state);
  return {
    label: state,
    data: some,
    showLine: false,
    pointStyle: some[0].mark,
    pointRadius: 6,
    pointHoverRadius: 8,
    borderWidth: 2,
    borderColor: colour(TOKENS[state]),
    // What was kept back is hollow.
    backgroundColor: colour(state === "kept back" ? "surface" : TOKENS[state]),
    series: { y: some.map(({ y }) => y), low: some.map(({ low }) => low), high: some.map(({ high }) => high) },
  };
}

const dashed = (label, data, token, dash) => ({
  label,
  data,
  borderColor: colour(token),
  backgroundColor: colour(token),
  borderDash: dash,
  borderWidth: 2,
  pointRadius: 0,
  pointStyle: "line",
  series: { y: [] },
});

function datasetsOf({ points, random, target }) {
  const states = [...new Set(points.map((point) => point.state))];
  const served = points.filter((point) => point.state !== "kept back");
  const ends = [0, Math.max(...[...points, ...random].map(({ x }) => x))];
  const found = states.map((state) => marksOf(points, state));
  found.push({ ...dashed("what served", served, "plot-1", []), order: 1 });
  if (random.length > 1) found.push(dashed("random order, estimated", random, "plot-4", [7, 4]));
  if (target !== null)
    found.push(
      dashed(
        `to reach: ${target}`,
        ends.map((x) => ({ x, y: target })),
        "ink-soft",
        [2, 4],
      ),
    );
  return found;
}

function told({ raw, dataset }) {
  if (!raw.name) return `${dataset.label}: ${raw.y.toFixed(1)}`;
  const interval = raw.low === null ? "" : ` [${raw.low.toFixed(1)}, ${raw.high.toFixed(1)}]`;
  return `${raw.name}, ${raw.state}: ${raw.y.toFixed(1)}${interval}, ${raw.labels} labels`;
}

function configured(chart, isSmall) {
  const datasets = datasetsOf(chart);
  // Whiskers are drawn over the points: the axis must know of their ends.
  const lows = chart.points.map(({ y, low }) => low ?? y);
  const highs = chart.points.map(({ y, high }) => high ?? y);
  const options = chartOptions({
    x: chart.x,
    y: "CGF1, points",
    legend: !isSmall,
    key: { usePointStyle: true },
    xMore: { type: "linear", beginAtZero: true, ticks: { color: colour("ink-soft"), maxRotation: 0 } },
    yMore: { beginAtZero: false, grace: "4%", suggestedMin: Math.min(...lows), suggestedMax: Math.max(...highs) },
  });
  options.interaction = { mode: "nearest", intersect: false };
  options.plugins.tooltip = { callbacks: { title: () => "", label: told } };
  return { type: "line", data: { datasets }, options, plugins: [whiskers(datasets.map(({ series }) => series))] };
}

const chart = readJson("curve-data");
const canvas = document.getElementById("curve-chart");
if (chart && canvas) keepChart(canvas, () => configured(chart, "small" in canvas.dataset));
