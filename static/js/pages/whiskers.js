// Whiskers from low to high over each bar or point that has an interval.
import { colour } from "./charts.js";

/** A plugin for Chart.js; `series[i]` belongs to its i-th dataset: {y, low, high}, lists of equal length. */
export const whiskers = (series) => ({
  id: "whiskers",
  afterDatasetsDraw(drawn) {
    const { ctx, scales } = drawn;
    ctx.save();
    ctx.strokeStyle = colour("ink");
    ctx.lineWidth = 1.5;
    series.forEach((one, place) => {
      drawn.getDatasetMeta(place).data.forEach((element, index) => {
        const [low, high] = [one.low?.[index], one.high?.[index]];
        if (!Number.isFinite(low) || !Number.isFinite(high) || !Number.isFinite(one.y[index])) return;
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
