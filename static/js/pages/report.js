// A report's charts from their plain descriptions, and the pictures of its gallery with truth and prediction.
import { maskFromWire } from "../../annotator/js/mask/rle.js";
import { BLOCKS, STROKES, chartOptions, colour, keepChart, readJson } from "./charts.js";
import { lookOf } from "./mask-looks.js";
import { drawPicture, pictureFrom } from "./masks-on-picture.js";

const DASHES = { 1: [], 2: [7, 4], 3: [2, 3], 4: [9, 3, 2, 3] };
const FEW = 40;
const SOON = "400px";

const paint = (series) => colour(`plot-${series.colour}`);

// Whiskers from low to high over each bar or point that has an interval.
const whiskers = (chart) => ({
  id: "whiskers",
  afterDatasetsDraw(drawn) {
    const { ctx, scales } = drawn;
    ctx.save();
    ctx.strokeStyle = colour("ink");
    ctx.lineWidth = 1.5;
    chart.series.forEach((series, place) => {
      drawn.getDatasetMeta(place).data.forEach((element, index) => {
        const [low, high] = [series.low?.[index], series.high?.[index]];
        if (!Number.isFinite(low) || !Number.isFinite(high) || !Number.isFinite(series.y[index])) return;
        const [from, to] = [scales.y.getPixelForValue(low), scales.y.getPixelForValue(high)];
        ctx.beginPath();
        ctx.moveTo(element.x, from);
        ctx.lineTo(element.x, to);
        for (const end of [from, to]) {
          ctx.moveTo(element.x - 4, end);
          ctx.lineTo(element.x + 4, end);
        }
        ctx.stroke();
      });
    });
    ctx.restore();
  },
});

function lines(chart) {
  const datasets = chart.series.map((series) => ({
    label: series.name,
    data: series.x.map((x, index) => ({ x, y: series.y[index] })),
    borderColor: paint(series),
    backgroundColor: paint(series),
    borderDash: DASHES[series.colour],
    borderWidth: 2,
    pointRadius: chart.marks || series.x.length <= FEW ? 2.5 : 0,
  }));
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
    plugins: [whiskers(chart)],
  };
}

function bars(chart) {
  const datasets = chart.series.map((series) => ({
    label: series.name,
    data: series.y,
    backgroundColor: paint(series),
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
    plugins: [whiskers(chart)],
  };
}

const KINDS = { lines, bars, intervals: bars };

// Each when somebody comes to see it: a report has a score of them.
function whenNear(element, act) {
  const observer = new IntersectionObserver(
    (seen) => {
      if (!seen.some((one) => one.isIntersecting)) return;
      observer.disconnect();
      act();
    },
    { rootMargin: SOON },
  );
  observer.observe(element);
}

async function showCard(canvas, card) {
  const masks = card[canvas.dataset.side].map(({ kind, mask }) => ({ look: lookOf(kind), mask: maskFromWire(mask) }));
  try {
    const image = await pictureFrom(canvas.dataset.image);
    const redraw = () => drawPicture(canvas, image, card, masks);
    redraw();
    new ResizeObserver(redraw).observe(canvas.parentElement);
  } catch {
    canvas.nextElementSibling.append(" The picture cannot be loaded.");
  }
}

const charts = new Map((readJson("report-charts") ?? []).map((chart) => [chart.name, chart]));
for (const canvas of document.querySelectorAll("canvas[data-chart]")) {
  const chart = charts.get(canvas.dataset.chart);
  whenNear(canvas, () => keepChart(canvas, () => KINDS[chart.kind](chart)));
}
const cards = readJson("report-cards") ?? [];
for (const canvas of document.querySelectorAll("canvas[data-card][data-image]"))
  whenNear(canvas, () => showCard(canvas, cards[Number(canvas.dataset.card)]));
