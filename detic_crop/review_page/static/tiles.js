// The photo in full resolution over the picture of the page, as far as it is looked at: tiles that the server cuts out.

import { boxInView, boxOfTile, isFitted, reductionFor, tilesOf } from "./zoom.js";

const AT_ONCE = 4; // requests; the browser has six in all, and a verdict must not wait
const SPARE = 40; // tiles that are kept though they are not in view
const BLURRED = 1.15; // screen pixels per pixel of the page's picture, from which on tiles are asked for
const SOON_MS = 60;
const AT_REST_MS = 400; // a photo that is only passed by costs no decoding
const SQUARES = 4; // screen pixels per photo pixel, from which on the pixels are shown as they are

export class Tiles {
  // picture: the image of the page's own picture; loaded() is told of more pixels.
  constructor(canvas, picture, loaded) {
    Object.assign(this, { canvas, picture, loaded });
    this.row = null;
    this.look = null; // {view, stage, density}: what is looked at
    this.beside = null; // {box, scale}: what is shown beside it, with so many pixels per photo pixel
    this.kept = new Map(); // name → {tile, bitmap}, the newest last
    this.coming = new Map(); // name → AbortController
    this.failed = ""; // "gone": the photo is not there any more; "offline": nobody answers
    this.timer = 0;
    this.isPatient = false; // whether the timer waits for rest
  }

  // Another photo, or none.
  show(row) {
    if (this.row && row && this.row.id === row.id && this.row.photo === row.photo) return;
    this.row = row;
    this.failed = "";
    this.look = this.beside = null;
    clearTimeout(this.timer);
    this.timer = 0;
    for (const request of this.coming.values()) request.abort();
    for (const { bitmap } of this.kept.values()) bitmap.close();
    this.coming.clear();
    this.kept.clear();
    this.paint();
  }

  lookAt(view, stage, density) {
    if (!this.row) return;
    this.look = { view, stage, density };
    if (this.failed === "offline") this.failed = "";
    this.paint();
    this.plan();
  }

  // Load what is missing, soon; of a photo that is seen as a whole once the person rests.
  plan() {
    if (!this.look) return;
    const isWhole = isFitted(this.look.view, this.look.stage, this.row);
    if (this.timer && !isWhole && !this.isPatient) return;
    clearTimeout(this.timer);
    this.isPatient = isWhole;
    this.timer = setTimeout(() => { this.timer = 0; this.load(); }, isWhole ? AT_REST_MS : SOON_MS);
  }

  // Whether the picture of the page has too few pixels for a scale.
  isBlurred(scale) {
    const { naturalWidth: width } = this.picture;
    return Boolean(width) && width < this.row.width && scale > (width / this.row.width) * BLURRED;
  }

  // Whether all that is in view is as sharp as it gets.
  get isSharp() {
    return !this.look || this.wanted().every((tile) => this.kept.has(nameOf(tile)));
  }

  wanted() {
    const { view, stage, density } = this.look;
    const shown = [{ box: boxInView(view, stage), scale: view.scale * density }, ...(this.beside ? [this.beside] : [])];
    const tiles = shown.filter(({ scale }) => this.isBlurred(scale))
      .flatMap(({ box, scale }) => tilesOf(box, this.row, reductionFor(scale, 1)));
    return [...new Map(tiles.map((tile) => [nameOf(tile), tile])).values()];
  }

  load() {
    if (this.failed || !this.look) return;
    const wanted = this.wanted();
    const names = new Set(wanted.map(nameOf));
    for (const [name, request] of this.coming) if (!names.has(name)) request.abort();
    this.drop(names);
    for (const tile of wanted) {
      if (this.coming.size >= AT_ONCE) return;
      if (!this.kept.has(nameOf(tile)) && !this.coming.has(nameOf(tile))) this.fetch(tile);
    }
  }

  async fetch(tile) {
    const { row } = this;
    const name = nameOf(tile);
    const request = new AbortController();
    this.coming.set(name, request);
    let bitmap = null;
    try {
      const answer = await fetch(`photo/${row.id}/${name}?${row.photo}`, { signal: request.signal });
      if (answer.ok) bitmap = await createImageBitmap(await answer.blob());
      else if (this.row === row) this.failed = "gone";
    } catch {
      if (!request.signal.aborted && this.row === row) this.failed = "offline"; // the next look asks again
    }
    if (this.coming.get(name) === request) this.coming.delete(name);
    if (this.row !== row) {
      if (bitmap) bitmap.close();
      return;
    }
    if (bitmap) {
      this.kept.set(name, { tile, bitmap });
      this.paint();
      this.loaded();
    }
    this.load();
  }

  drop(wanted) {
    for (const [name, { bitmap }] of this.kept) {
      if (this.kept.size <= wanted.size + SPARE) return;
      if (wanted.has(name)) continue;
      bitmap.close();
      this.kept.delete(name);
    }
  }

  // ------------------------------------------------------------ painting

  paint() {
    const { canvas, look } = this;
    const paint = canvas.getContext("2d");
    if (!look) {
      paint.clearRect(0, 0, canvas.width, canvas.height);
      return;
    }
    const { view, stage, density } = look;
    const [width, height] = [Math.round(stage.width * density), Math.round(stage.height * density)];
    if (canvas.width !== width || canvas.height !== height) {
      Object.assign(canvas, { width, height });
      Object.assign(canvas.style, { width: `${width / density}px`, height: `${height / density}px` }); // pixel for pixel
    } else paint.clearRect(0, 0, width, height);
    if (!this.isBlurred(view.scale * density)) return;
    const place = (x, y) => [Math.round((x * view.scale + view.x) * density), Math.round((y * view.scale + view.y) * density)];
    this.paintTiles(paint, view.scale * density, place);
  }

  // Paint what there is of a rectangle of the photo into a place of a canvas: left, top, width, height.
  paintInto(paint, [x1, y1, x2, y2], [left, top, width, height]) {
    const [across, down] = [width / (x2 - x1), height / (y2 - y1)];
    this.beside = { box: [x1, y1, x2, y2], scale: Math.max(across, down) };
    this.plan();
    if (!this.kept.size || !this.isBlurred(this.beside.scale)) return;
    paint.save();
    paint.beginPath();
    paint.rect(left, top, width, height);
    paint.clip();
    this.paintTiles(paint, across, (x, y) => [left + (x - x1) * across, top + (y - y1) * down]);
    paint.restore();
  }

  // Those that fit the scale best go last, over coarser ones, and over finer ones, which would flicker.
  paintTiles(paint, scale, place) {
    const best = reductionFor(scale, 1);
    const rank = ({ tile: { reduction } }) => (reduction === best ? 0 : reduction < best ? 1 : reduction);
    const kept = [...this.kept.values()].sort((a, b) => rank(b) - rank(a));
    paint.imageSmoothingEnabled = scale < SQUARES;
    paint.imageSmoothingQuality = "high";
    for (const { tile, bitmap } of kept) {
      const [left, top, right, bottom] = boxOfTile(tile, this.row);
      const [x1, y1] = place(left, top);
      const [x2, y2] = place(right, bottom);
      if (x2 > 0 && y2 > 0 && x1 < paint.canvas.width && y1 < paint.canvas.height) {
        paint.drawImage(bitmap, x1, y1, x2 - x1, y2 - y1);
      }
    }
  }
}

function nameOf({ reduction, column, row }) {
  return `${reduction}/${column}/${row}`;
}
