// What a model found, made up and missed, each drawn its own way and not by colour alone.
import { colour } from "./charts.js";

const LOOKS = {
  hit: { token: "on-hit", width: 2, fill: 0.3 },
  false: { token: "on-false", dash: [7, 4], width: 2.5, fill: 0 },
  missed: { token: "on-missed", dash: [2, 4], width: 2.5, fill: 0 },
};

/** How a mask of this kind is drawn, in the page's colours as they are now. */
export const lookOf = (kind) => ({ ...LOOKS[kind], colour: colour(LOOKS[kind].token) });
