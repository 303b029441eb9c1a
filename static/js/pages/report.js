// A report's charts from their plain descriptions, and the pictures of its gallery with truth and prediction.
import { BLOCKS, STROKES, chartOptions, colour, keepChart, lineOf, readJson } from "./charts.js";
import { keepPicture } from "./masks-on-picture.js";
import { whenNear } from "./when-near.js";
import { whiskers } from "./whiskers.js";

const DASHES = { 1: [], 2: [7, 4], 3: [2, 3], 4: [9, 3, 2, 3] };
const SOON = "400px";

function lines(chart) {
  const datasets = chart.series.map((series) => {
    const told = series.x.map((x, index) => ({ x, y: series.y[index] }));
    const marked = chart.marks ? { marks: true } : {};
    return lineOf(series.name, told, { token: `plot-${series.colour}`, dash: DASHES[series.colour], ...marked });
  });
  if (chart.diagonal)
    datasets.push({
      label: "as it says",
      data: [
        { x: 0, y: 0 },
        { x: 100, y: 100 },
      ],
      borderColor: colour("line-strong"),
      borderDash: [4, 3],
      borderWidth: 1,
      pointRadius: 0,
    });
  const span = (ends) => (ends ? { min: ends[0], max: ends[1] } : {});
  return {
    type: "line",
    data: { datasets },
    options: chartOptions({
      x: chart.x,
      y: chart.y,
      legend: datasets.length > 1,
      key: STROKES,
      xMore: { type: "linear", ticks: { color: colour("ink-soft") }, ...span(chart.x_span) },
      yMore: span(chart.y_span),
    }),
    plugins: [whiskers(chart.series)],
  };
}

function bars(chart) {
  const datasets = chart.series.map((series) => ({
    label: series.name,
    data: series.y,
    backgroundColor: colour(`plot-${series.colour}`),
  }));
  const ends = chart.series.flatMap((series) => series.high ?? []).filter(Number.isFinite);
  return {
    type: "bar",
    data: { labels: chart.labels, datasets },
    options: chartOptions({
      x: chart.x,
      y: chart.y,
      legend: datasets.length > 1,
      key: BLOCKS,
      xMore: { ticks: { color: colour("ink-soft"), maxRotation: 60, autoSkip: chart.kind !== "intervals" } },
      yMore: ends.length ? { suggestedMax: Math.max(...ends) } : {},
    }),
    plugins: [whiskers(chart.series)],
  };
}

const KINDS = { lines, bars, intervals: bars };

async function showCard(canvas, card) {
  try {
    await keepPicture(canvas, card, card[canvas.dataset.side]);
  } catch {
    canvas.nextElementSibling.append(" The picture cannot be loaded.");
  }
}

// Each when somebody comes to see it: a report has a score of them.
const charts = new Map((readJson("report-charts") ?? []).map((chart) => [chart.name, chart]));
for (const canvas of document.querySelectorAll("canvas[data-chart]")) {
  const chart = charts.get(canvas.dataset.chart);
  whenNear(canvas, SOON, () => keepChart(canvas, () => KINDS[chart.kind](chart)));
}
const cards = readJson("report-cards") ?? [];
for (const canvas of document.querySelectorAll("canvas[data-card][data-image]"))
  whenNear(canvas, SOON, () => showCard(canvas, cards[Number(canvas.dataset.card)]));
