// Where the photo lies on the stage. A view is {scale, x, y}: photo pixel (px, py) is at (px * scale + x,
// py * scale + y), in CSS pixels from the stage's left top corner. Sizes are {width, height}; density is the number
// of screen pixels per CSS pixel.

export const MOST_PER_PIXEL = 8; // screen pixels per photo pixel
export const TILE = 512; // as in cutouts.py
const REDUCTIONS = [8, 4, 2, 1];
const SHARE_OF_BOX = 0.7; // of the stage, for a box that is zoomed to
const MOST_FOR_BOX = 4; // screen pixels per photo pixel; beyond it a small box only gets blurred

export function fitScale(stage, photo) {
  const scale = Math.min(stage.width / photo.width, stage.height / photo.height);
  return Number.isFinite(scale) ? scale : 0;
}

export function fitted(stage, photo, density) {
  return clamped({ scale: 0, x: 0, y: 0 }, stage, photo, density);
}

// The nearest view that shows nothing beside the photo, as far as it is larger than the stage, on whole screen pixels.
export function clamped({ scale, x, y }, stage, photo, density) {
  const least = fitScale(stage, photo);
  const within = Math.min(Math.max(scale, least), Math.max(MOST_PER_PIXEL / density, least));
  const place = (offset, room, side) => {
    const inside = side <= room ? (room - side) / 2 : Math.min(Math.max(offset, room - side), 0);
    return Math.round(inside * density) / density;
  };
  return {
    scale: within,
    x: place(x, stage.width, photo.width * within),
    y: place(y, stage.height, photo.height * within),
  };
}

export function isFitted(view, stage, photo) {
  return view.scale <= fitScale(stage, photo) * 1.0001;
}

// Another scale; what is at a point of the stage stays there.
export function scaledAbout(view, scale, [x, y]) {
  const ratio = scale / view.scale;
  return { scale, x: x - (x - view.x) * ratio, y: y - (y - view.y) * ratio };
}

export function shifted(view, dx, dy) {
  return { ...view, x: view.x + dx, y: view.y + dy };
}

// What was between two fingers stays between them.
export function pinched(view, before, now) {
  const centre = ([a, b]) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  const spread = ([a, b]) => Math.max(Math.hypot(a[0] - b[0], a[1] - b[1]), 1);
  const [from, to] = [centre(before), centre(now)];
  return shifted(scaledAbout(view, view.scale * (spread(now) / spread(before)), from), to[0] - from[0], to[1] - from[1]);
}

// A box in the middle of the stage, with some of what is around it.
export function aroundBox([left, top, right, bottom], stage, density) {
  const across = (stage.width * SHARE_OF_BOX) / Math.max(right - left, 1);
  const down = (stage.height * SHARE_OF_BOX) / Math.max(bottom - top, 1);
  return centredOn([(left + right) / 2, (top + bottom) / 2], Math.min(across, down, MOST_FOR_BOX / density), stage);
}

export function centredOn([x, y], scale, stage) {
  return { scale, x: stage.width / 2 - x * scale, y: stage.height / 2 - y * scale };
}

export function onStage(view, [x, y]) {
  return [x * view.scale + view.x, y * view.scale + view.y];
}

export function onPhoto(view, [x, y]) {
  return [(x - view.x) / view.scale, (y - view.y) / view.scale];
}

// Photo pixels per pixel of the tiles that are sharp enough: the fewest tiles that lose nothing on this screen.
export function reductionFor(scale, density) {
  return REDUCTIONS.find((reduction) => reduction === 1 || reduction * scale * density <= 1.1);
}

// The part of the photo that the stage shows, a box; it may reach beyond the photo.
export function boxInView(view, stage) {
  return [...onPhoto(view, [0, 0]), ...onPhoto(view, [stage.width, stage.height])];
}

// The tiles that a box needs, those in its middle first: [{reduction, column, row}].
export function tilesOf([left, top, right, bottom], photo, reduction) {
  const side = TILE * reduction;
  const range = (low, high, limit) => {
    const first = Math.max(Math.floor(low / side), 0);
    const last = Math.min(Math.ceil(high / side), Math.ceil(limit / side));
    return Array.from({ length: Math.max(last - first, 0) }, (_, i) => first + i);
  };
  const rows = range(top, bottom, photo.height);
  const tiles = range(left, right, photo.width).flatMap((column) => rows.map((row) => ({ reduction, column, row })));
  const far = ({ column, row }) => Math.hypot((column + 0.5) * side - (left + right) / 2, (row + 0.5) * side - (top + bottom) / 2);
  return tiles.sort((a, b) => far(a) - far(b));
}

// The part of the photo that a tile shows, a box.
export function boxOfTile({ reduction, column, row }, photo) {
  const side = TILE * reduction;
  const [left, top] = [column * side, row * side];
  return [left, top, Math.min(left + side, photo.width), Math.min(top + side, photo.height)];
}
