/** Eraser: the brush, taking pixels off; its stroke is drawn dark. */

import { createBrushTool } from "./brush.js";

export const createEraserTool = (options) => createBrushTool({ ...options, name: "eraser", colour: "#14181b" });
