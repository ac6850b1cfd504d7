// Boxes over the photo, and the mouse: drag to draw, drag a handle to adjust, click to pick.

import { areaOf, boxBetween, cropRectangle, isSameAnimal, sameBox } from "./boxes.js";

const SVG = "http://www.w3.org/2000/svg";
const MIN_DRAG = 5; // px on the screen; less is a click
const HANDLE = 9;
const REACH = 9; // px around a handle that still take it
const MAX_LABELS = 9;

// A blind review is not told the score.
function wordsOfFound(found) {
  return found.score === null ? found.class : `${found.class} ${found.score.toFixed(2)}`;
}

export class Drawing {
  // Once the mouse is let go drawn(box, at) is told of a box, with the place of the one that it replaces or
  // else -1, and clicked(box) of one that was clicked; dragged(box) of one in the making.
  constructor(stage, frame, overlay, { drawn, clicked, dragged, dropped }) {
    Object.assign(this, { stage, frame, overlay, drawn, clicked, dragged, dropped });
    this.row = null;
    this.boxes = [];
    this.selected = null; // the picked one of them, or the one in the making
    this.drag = null;
    this.waiting = []; // who waits until the mouse is let go
    frame.addEventListener("pointerdown", (event) => this.down(event));
    frame.addEventListener("pointermove", (event) => this.move(event));
    frame.addEventListener("pointerup", (event) => this.up(event));
    frame.addEventListener("pointercancel", (event) => this.finish(event.pointerId));
    new ResizeObserver(() => this.render()).observe(stage);
  }

  // A box in the making stays as it is, and its photo too: only the mouse ends it.
  // boxes: what is outlined, of which one is picked; draft: boxes that were drawn and are kept, whatever is
  // outlined now; several: they are several animals; adding: the next one is another animal.
  show(row, { boxes, picked, draft, several, adding }, session) {
    if (this.drag) return;
    Object.assign(this, { row, boxes, picked, draft, several, adding, session });
    this.selected = boxes[picked] || null;
    this.render();
  }

  // Resolves once no box is in the making. What the server says may be shown only then.
  async released() {
    while (this.drag) await new Promise((done) => { this.waiting.push(done); });
  }

  // ------------------------------------------------------------ the mouse

  at(event) {
    const place = this.frame.getBoundingClientRect();
    return [
      ((event.clientX - place.left) / place.width) * this.row.width,
      ((event.clientY - place.top) / place.height) * this.row.height,
    ];
  }

  down(event) {
    if (!this.row || event.button !== 0 || !this.scale || this.drag) return;
    event.preventDefault();
    this.frame.setPointerCapture(event.pointerId);
    const point = this.at(event);
    const handle = this.adding ? null : this.handleAt(point);
    const [x1, y1, x2, y2] = this.selected || [];
    this.drag = { pointer: event.pointerId, start: point, before: this.selected, moved: false, at: this.picked };
    // The opposite corner stays; a handle in the middle of an edge moves that edge only.
    if (handle) {
      this.drag.anchor = [handle[0] < 0 ? x2 : x1, handle[1] < 0 ? y2 : y1];
      this.drag.fixed = [handle[0] === 0 ? x2 : null, handle[1] === 0 ? y2 : null];
    }
  }

  move(event) {
    if (!this.drag) {
      if (this.row && this.scale) this.frame.style.cursor = this.adding ? "" : cursorOf(this.handleAt(this.at(event)));
      return;
    }
    if (event.pointerId !== this.drag.pointer || !this.scale) return;
    if (!event.buttons) {
      this.finish(event.pointerId); // let go where nobody told us
      return;
    }
    const point = this.at(event);
    const { start, anchor, fixed } = this.drag;
    const far = Math.max(Math.abs(point[0] - start[0]), Math.abs(point[1] - start[1])) * this.scale;
    if (!this.drag.moved && far < MIN_DRAG) return;
    this.drag.moved = true;
    const other = anchor ? [fixed[0] ?? point[0], fixed[1] ?? point[1]] : point;
    const box = boxBetween(anchor || start, other, this.row.width, this.row.height);
    if (box[2] - box[0] >= 1 && box[3] - box[1] >= 1) {
      this.selected = box;
      this.drag.at = anchor || this.isAnotherTry(box) ? this.picked : -1;
      this.dragged(box);
      this.render();
    }
  }

  // Whether a box is drawn in place of the picked one: among several animals only where it shows the same one.
  isAnotherTry(box) {
    if (this.adding || !this.drag.before) return false;
    return !this.several || isSameAnimal(this.drag.before, box);
  }

  // The outlined boxes but the picked one, or the one in the making.
  get others() {
    const at = this.drag && this.drag.moved ? this.drag.at : this.picked;
    return this.boxes.filter((_, i) => i !== at);
  }

  up(event) {
    if (!this.drag || event.pointerId !== this.drag.pointer) return;
    const isClick = !this.drag.moved && !this.drag.anchor;
    const box = isClick ? this.boxAt(this.at(event)) : null;
    this.finish(event.pointerId);
    if (box) this.clicked(box);
  }

  // The mouse is let go, or taken away: what was drawn so far counts.
  finish(pointer) {
    if (!this.drag || pointer !== this.drag.pointer) return;
    const { moved, before, at } = this.drag;
    this.drag = null;
    if (moved && this.selected !== before) this.drawn(this.selected, at);
    this.letGo();
  }

  // Whether there was something to cancel.
  cancel() {
    if (!this.drag) return false;
    this.selected = this.drag.before;
    this.drag = null;
    this.dropped();
    this.letGo();
    return true;
  }

  letGo() {
    this.render();
    for (const done of this.waiting.splice(0)) done();
  }

  handles() {
    if (!this.selected) return [];
    const [x1, y1, x2, y2] = this.selected;
    const [cx, cy] = [(x1 + x2) / 2, (y1 + y2) / 2];
    return [
      [-1, -1, x1, y1], [1, -1, x2, y1], [-1, 1, x1, y2], [1, 1, x2, y2],
      [0, -1, cx, y1], [0, 1, cx, y2], [-1, 0, x1, cy], [1, 0, x2, cy],
    ];
  }

  handleAt([x, y]) {
    const near = ([, , hx, hy]) => Math.max(Math.abs(hx - x), Math.abs(hy - y)) * this.scale <= REACH;
    return this.handles().find(near);
  }

  // The smallest box around a point; of several animals one of these goes before other boxes.
  boxAt([x, y]) {
    const smallest = (boxes) => boxes
      .filter(([x1, y1, x2, y2]) => x1 <= x && x <= x2 && y1 <= y && y <= y2)
      .sort((a, b) => areaOf(a) - areaOf(b))[0];
    const isOutlined = (box) => this.boxes.some((other) => sameBox(box, other));
    const candidates = this.row.candidates.map((candidate) => candidate.box);
    if (this.adding) return smallest(candidates.filter((box) => !isOutlined(box)));
    return (this.several && smallest(this.boxes)) || smallest(candidates);
  }

  // ------------------------------------------------------------ drawing

  // The frame in the photo's proportions, as large as the stage allows.
  fit() {
    const { row, stage, frame } = this;
    const scale = Math.min(stage.clientWidth / row.width, stage.clientHeight / row.height);
    this.scale = Number.isFinite(scale) ? scale : 0;
    frame.style.width = `${row.width * this.scale}px`;
    frame.style.height = `${row.height * this.scale}px`;
  }

  render() {
    this.overlay.replaceChildren();
    if (!this.row || !this.row.width) return;
    this.fit();
    const { row, session, selected, others } = this;
    const outlined = selected ? [...others, selected] : others;
    const cuts = outlined.map((box) => cropRectangle(box, session, row.width, row.height));
    if (!cuts.length) cuts.push([0, 0, row.width, row.height]);
    this.shade(cuts);
    const isOutlined = (box) => outlined.some((other) => sameBox(box, other));
    const kinds = row.candidates.map((c) => (c.own ? "own" : c.eligible ? "eligible" : "weak"));
    for (let i = row.candidates.length - 1; i >= 0; i -= 1) {
      if (!isOutlined(row.candidates[i].box)) this.rect(row.candidates[i].box, kinds[i]);
    }
    const isKnown = (box) => row.candidates.some((candidate) => sameBox(candidate.box, box));
    for (const box of row.detected) if (!isKnown(box) && !isOutlined(box)) this.rect(box, "own");
    if (this.draft && !this.drag) {
      for (const box of this.draft) if (!isOutlined(box)) this.rect(box, "drawn");
    }
    for (const box of others) this.rect(box, "animal");
    this.rect(cuts[cuts.length - 1], "cut");
    if (selected) this.rect(selected, "selected");
    if (this.several) this.labelAnimals();
    else this.labelCandidates();
    for (const [, , x, y] of this.handles()) this.handle(x, y);
  }

  labelCandidates() {
    this.row.candidates.slice(0, MAX_LABELS).forEach((candidate, i) => {
      this.label(candidate.box, `${i + 1} ${wordsOfFound(candidate)}`);
    });
  }

  labelAnimals() {
    this.boxes.forEach((box, i) => {
      if (this.drag && this.drag.moved && i === this.drag.at) return; // it is another one when it is drawn
      const found = this.row.candidates.find((candidate) => sameBox(candidate.box, box));
      this.label(box, found ? `${i + 1} ${wordsOfFound(found)}` : `${i + 1} drawn`, "number");
    });
  }

  rect(box, kind) {
    const [x1, y1, x2, y2] = box.map((edge) => edge * this.scale);
    for (const name of kind === "weak" ? [kind] : ["halo", kind]) {
      const shape = this.add("rect", { x: x1, y: y1, width: x2 - x1, height: y2 - y1, class: name });
      if (name === "halo") shape.style.strokeWidth = kind === "selected" ? 5 : 3.6;
    }
  }

  // What is not cut out is darker.
  shade(cuts) {
    const place = ([x1, y1, x2, y2]) => Object.fromEntries(
      Object.entries({ x: x1, y: y1, width: x2 - x1, height: y2 - y1 }).map(([name, n]) => [name, n * this.scale]),
    );
    const all = place([0, 0, this.row.width, this.row.height]);
    const mask = this.add("mask", { id: "uncut", maskUnits: "userSpaceOnUse", ...all });
    mask.append(this.make("rect", { ...all, class: "shown" }));
    for (const cut of cuts) mask.append(this.make("rect", { ...place(cut), class: "hidden" }));
    this.add("rect", { ...all, class: "shade", mask: "url(#uncut)" });
  }

  label(box, words, kind = "") {
    // Above the box, so that it hides nothing in it; inside where there is no room.
    const [x, top] = [box[0] * this.scale + 2, box[1] * this.scale];
    this.add("text", { x: Math.max(x, 2), y: top > 20 ? top - 7 : top + 16, class: kind }).textContent = words;
  }

  handle(x, y) {
    const side = { width: HANDLE, height: HANDLE, class: "handle" };
    this.add("rect", { x: x * this.scale - HANDLE / 2, y: y * this.scale - HANDLE / 2, ...side });
  }

  add(name, attributes) {
    const element = this.make(name, attributes);
    this.overlay.append(element);
    return element;
  }

  make(name, attributes) {
    const element = document.createElementNS(SVG, name);
    for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
    return element;
  }
}

function cursorOf(handle) {
  if (!handle) return "";
  const [x, y] = handle;
  if (x === 0) return "ns-resize";
  if (y === 0) return "ew-resize";
  return x === y ? "nwse-resize" : "nesw-resize";
}
