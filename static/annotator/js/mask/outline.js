/** A mask's border along the cracks between pixels, as closed loops of corner points in image pixels. */

const STEP = [
  [1, 0],
  [0, 1],
  [-1, 0],
  [0, -1],
];
// The pixels ahead of a corner when heading right, down, left, up; the mask lies on the right hand.
const AHEAD_RIGHT = [
  [0, 0],
  [-1, 0],
  [-1, -1],
  [0, -1],
];
const AHEAD_LEFT = [
  [0, -1],
  [0, 0],
  [-1, 0],
  [-1, -1],
];

/** [[x0, y0, x1, y1, …], …]; holes are loops of their own, so an even-odd fill of all gives the mask back. */
export function outlineLoops(mask) {
  const visited = new Uint8Array(mask.bits.length); // top edges already walked
  const loops = [];
  for (let y = 0; y < mask.height; y++) {
    for (let x = 0; x < mask.width; x++) {
      if (isSet(mask, x, y) && !isSet(mask, x, y - 1) && !visited[y * mask.width + x]) {
        loops.push(followLoop(mask, x, y, visited));
      }
    }
  }
  return loops;
}

function followLoop(mask, startX, startY, visited) {
  const corners = [];
  let [x, y, heading] = [startX, startY, 0];
  do {
    if (heading === 0) visited[y * mask.width + x] = 1;
    x += STEP[heading][0];
    y += STEP[heading][1];
    const turned = nextHeading(mask, x, y, heading);
    if (turned !== heading) corners.push(mask.x + x, mask.y + y);
    heading = turned;
  } while (x !== startX || y !== startY || heading !== 0);
  return corners;
}

/** Right where nothing lies ahead on the right (so that pixels touching at a corner stay apart), left at a wall. */
function nextHeading(mask, x, y, heading) {
  const [rightX, rightY] = AHEAD_RIGHT[heading];
  if (!isSet(mask, x + rightX, y + rightY)) return (heading + 1) % 4;
  const [leftX, leftY] = AHEAD_LEFT[heading];
  return isSet(mask, x + leftX, y + leftY) ? (heading + 3) % 4 : heading;
}

function isSet(mask, x, y) {
  return x >= 0 && y >= 0 && x < mask.width && y < mask.height && mask.bits[y * mask.width + x] === 1;
}
