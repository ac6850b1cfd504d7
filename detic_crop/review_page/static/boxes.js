// From a box to the pixels that are cut out: the arithmetic of boxes/geometry.py, for the live preview.
// Boxes are [left, top, right, bottom] in pixels of the upright photo.

const ROUNDING_NOISE = 1e-6;
const APART_IOU = 0.1;

export function cropRectangle(box, { scale, aspect }, width, height) {
  const [left, top, right, bottom] = box;
  const growX = ((right - left) * (scale - 1)) / 2;
  const growY = ((bottom - top) * (scale - 1)) / 2;
  const clipped = [
    Math.min(Math.max(left - growX, 0), width),
    Math.min(Math.max(top - growY, 0), height),
    Math.min(Math.max(right + growX, 0), width),
    Math.min(Math.max(bottom + growY, 0), height),
  ];
  const rectangle = roundOut(clipped, width, height);
  return aspect ? growToAspect(rectangle, aspect, width, height) : rectangle;
}

function roundOut([left, top, right, bottom], width, height) {
  const x1 = Math.min(Math.floor(left + ROUNDING_NOISE), width - 1);
  const y1 = Math.min(Math.floor(top + ROUNDING_NOISE), height - 1);
  const x2 = Math.max(Math.ceil(right - ROUNDING_NOISE), x1 + 1);
  const y2 = Math.max(Math.ceil(bottom - ROUNDING_NOISE), y1 + 1);
  return [x1, y1, x2, y2];
}

function growToAspect([x1, y1, x2, y2], [across, down], width, height) {
  const share = (length, part, of) => Math.floor((2 * length * part + of) / (2 * of));
  const [left, right] = growSide(x1, x2, Math.max(x2 - x1, share(y2 - y1, across, down)), width);
  const [top, bottom] = growSide(y1, y2, Math.max(y2 - y1, share(x2 - x1, down, across)), height);
  return [left, top, right, bottom];
}

function growSide(low, high, wanted, limit) {
  const length = Math.min(wanted, limit);
  const start = Math.min(Math.max(low - Math.floor((length - (high - low)) / 2), 0), limit - length);
  return [start, start + length];
}

// Where the crop of a rectangle lies in a square, and where the rectangle's picture lies there: each
// [left, top, width, height] as shares of the square's side.
export function placeInSquare([x1, y1, x2, y2], { shape, keeps_proportions: keeps }) {
  const sides = [x2 - x1, y2 - y1];
  const canvas = centred(shape || sides, [1, 1]);
  return [canvas, keeps ? centred(sides, canvas.slice(2)) : canvas];
}

function centred([width, height], [roomAcross, roomDown]) {
  const ratio = Math.min(roomAcross / width, roomDown / height);
  const [w, h] = [width * ratio, height * ratio];
  return [(1 - w) / 2, (1 - h) / 2, w, h];
}

export function sameBox(a, b) {
  return Boolean(a) && Boolean(b) && a.every((edge, i) => Math.abs(edge - b[i]) < 0.005);
}

export function sameBoxes(a, b) {
  return a.length === b.length && a.every((box, i) => sameBox(box, b[i]));
}

// From left to right, as animals are numbered.
export function inOrder(boxes) {
  return [...boxes].sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || a[3] - b[3]);
}

export function areaOf([left, top, right, bottom]) {
  return (right - left) * (bottom - top);
}

// Whether two boxes are guesses at one animal, rather than two animals: their IoU is 0.1 or more, as in
// boxes/choose.py.
export function isSameAnimal(a, b) {
  const [left, top] = [Math.max(a[0], b[0]), Math.max(a[1], b[1])];
  const [right, bottom] = [Math.min(a[2], b[2]), Math.min(a[3], b[3])];
  const common = areaOf([left, top, Math.max(left, right), Math.max(top, bottom)]);
  return common >= APART_IOU * (areaOf(a) + areaOf(b) - common);
}

// A box between two corners, in whole pixels inside the photo.
export function boxBetween([ax, ay], [bx, by], width, height) {
  const inside = (value, limit) => Math.round(Math.min(Math.max(value, 0), limit));
  return [
    inside(Math.min(ax, bx), width),
    inside(Math.min(ay, by), height),
    inside(Math.max(ax, bx), width),
    inside(Math.max(ay, by), height),
  ];
}

// A box at another place, of the same size and inside the photo.
export function movedBox([left, top, right, bottom], dx, dy, width, height) {
  const x = Math.min(Math.max(dx, -left), width - right);
  const y = Math.min(Math.max(dy, -top), height - bottom);
  return [left + x, top + y, right + x, bottom + y].map(toHundredths);
}

// A box of which one edge (0 left, 1 top, 2 right, 3 bottom) has moved, by no more than leaves a pixel of it.
export function withEdgeMoved(box, edge, by, width, height) {
  const opposite = box[(edge + 2) % 4];
  const limit = edge % 2 ? height : width;
  const [low, high] = edge < 2 ? [0, opposite - 1] : [opposite + 1, limit];
  const moved = [...box];
  moved[edge] = toHundredths(Math.min(Math.max(box[edge] + by, low), high));
  return moved;
}

// What the server keeps of an edge.
function toHundredths(edge) {
  return Math.round(edge * 100) / 100;
}
