// Boxes over the photo, and the mouse: drag to draw, drag a handle to adjust, the grip to move, click to pick.

import { areaOf, boxBetween, cropRectangle, isSameAnimal, movedBox, sameBox } from "./boxes.js";

const SVG = "http://www.w3.org/2000/svg";
const MIN_DRAG = 5; // px on the screen; less is a click
const HANDLE = 9;
const REACH = 9; // px around a handle that still take it
const FINGER = 22; // px around a handle that a finger takes, as far as the box is large enough
const GRIP = 8; // px, radius of the grip in the middle
const GRIP_ROOM = 60; // px a side that a box must have for it
const MAX_LABELS = 9;

// A blind review is not told the score.
function wordsOfFound(found) {
  return found.score === null ? found.class : `${found.class} ${found.score.toFixed(2)}`;
}

export class Drawing {
  // Once the mouse is let go drawn(box, at) is told of a box, with the place of the one that it replaces or
  // else -1, and clicked(box) of one that was clicked; dragged(box) of one in the making.
  // viewport: which part of the photo is shown; it sees the pointer first.
  constructor(viewport, frame, overlay, { drawn, clicked, dragged, dropped }) {
    Object.assign(this, { viewport, frame, overlay, drawn, clicked, dragged, dropped });
    this.row = null;
    this.boxes = [];
    this.selected = null; // the picked one of them, or the one in the making
    this.drag = null;
    this.waiting = []; // who waits until the mouse is let go
    frame.addEventListener("pointerdown", (event) => this.down(event));
    frame.addEventListener("pointermove", (event) => this.move(event));
    frame.addEventListener("pointerup", (event) => this.up(event));
    frame.addEventListener("pointercancel", (event) => this.finish(event.pointerId));
  }

  // px on the stage per photo pixel
  get scale() {
    return this.viewport.view.scale;
  }

  // A box in the making stays as it is, and its photo too: only the mouse ends it.
  // boxes: what is outlined, of which one is picked; draft: boxes that were drawn and are kept, whatever is
  // outlined now; several: they are several animals; adding: the next one is another animal.
  show(row, { boxes, picked, draft, several, adding }, session) {
    if (this.drag) return;
    Object.assign(this, { row, boxes, picked, draft, several, adding, session });
    this.selected = boxes[picked] || null;
    this.viewport.show(row);
    this.render();
  }

  // Resolves once no box is in the making. What the server says may be shown only then.
  async released() {
    while (this.drag) await new Promise((done) => { this.waiting.push(done); });
  }

  // ------------------------------------------------------------ the mouse

  down(event) {
    if (!this.row || event.button !== 0 || !this.scale || this.drag) return;
    event.preventDefault();
    this.frame.setPointerCapture(event.pointerId);
    const point = this.viewport.at(event);
    const handle = this.adding ? null : this.handleAt(point, event);
    const [x1, y1, x2, y2] = this.selected || [];
    this.drag = { pointer: event.pointerId, start: point, before: this.selected, moved: false, at: this.picked };
    if (!handle) return;
    const [across, down, x, y] = handle;
    this.drag.grip = !across && !down;
    // The opposite corner stays; a handle in the middle of an edge moves that edge only.
    this.drag.anchor = [across < 0 ? x2 : x1, down < 0 ? y2 : y1];
    this.drag.fixed = [across === 0 ? x2 : null, down === 0 ? y2 : null];
    this.drag.beside = [x - point[0], y - point[1]]; // the edge is not where the mouse took it
  }

  move(event) {
    if (!this.drag) {
      const isOver = this.row && this.scale && !this.adding;
      this.frame.style.cursor = isOver ? cursorOf(this.handleAt(this.viewport.at(event), event)) : "";
      return;
    }
    if (event.pointerId !== this.drag.pointer || !this.scale) return;
    if (!event.buttons) {
      this.finish(event.pointerId); // let go where nobody told us
      return;
    }
    const point = this.viewport.at(event);
    const { start, anchor } = this.drag;
    const far = Math.max(Math.abs(point[0] - start[0]), Math.abs(point[1] - start[1])) * this.scale;
    if (!this.drag.moved && far < MIN_DRAG) return;
    this.drag.moved = true;
    const box = this.boxTo(point);
    if (box[2] - box[0] >= 1 && box[3] - box[1] >= 1) {
      this.selected = box;
      this.drag.at = anchor || this.isAnotherTry(box) ? this.picked : -1;
      this.dragged(box);
      this.render();
    }
  }

  // The box in the making, with the mouse at a point.
  boxTo(point) {
    const { start, before, grip, anchor, fixed, beside } = this.drag;
    const { width, height } = this.row;
    if (grip) return movedBox(before, ...point.map((value, i) => Math.round(value - start[i])), width, height);
    if (!anchor) return boxBetween(start, point, width, height);
    return boxBetween(anchor, point.map((value, i) => fixed[i] ?? value + beside[i]), width, height);
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
    const isClick = !this.drag.moved && (this.drag.grip || !this.drag.anchor);
    const box = isClick ? this.boxAt(this.viewport.at(event)) : null;
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

  // What can be dragged of the outlined box: [across, down, x, y]; 0, 0 is the grip, which moves it. Those of an
  // edge, and the grip, are in the middle of what can be seen.
  handles() {
    if (!this.selected) return [];
    const [x1, y1, x2, y2] = this.selected;
    const { width, height } = this.viewport.size;
    const [[left, top], [right, bottom]] = [[0, 0], [width, height]].map((corner) => this.viewport.onPhoto(corner));
    const [cx, cy] = [middleOf(x1, x2, left, right), middleOf(y1, y2, top, bottom)];
    const isAround = x1 < left && y1 < top && x2 > right && y2 > bottom; // nothing of its outline is in view
    const hasGrip = Math.min(x2 - x1, y2 - y1) * this.scale >= GRIP_ROOM && !isAround;
    return [
      [-1, -1, x1, y1], [1, -1, x2, y1], [-1, 1, x1, y2], [1, 1, x2, y2],
      [0, -1, cx, y1], [0, 1, cx, y2], [-1, 0, x1, cy], [1, 0, x2, cy],
      ...(hasGrip ? [[0, 0, cx, cy]] : []),
    ];
  }

  // The nearest handle within reach; with Alt all of the outlined box is its grip.
  handleAt([x, y], { altKey, pointerType }) {
    if (!this.selected) return null;
    const [x1, y1, x2, y2] = this.selected;
    if (altKey && x1 <= x && x <= x2 && y1 <= y && y <= y2) return [0, 0, x, y];
    const room = (Math.min(x2 - x1, y2 - y1) * this.scale) / 4;
    const reach = pointerType === "touch" ? Math.max(REACH, Math.min(FINGER, room)) : REACH;
    const far = ([, , hx, hy]) => Math.max(Math.abs(hx - x), Math.abs(hy - y)) * this.scale;
    return this.handles().filter((handle) => far(handle) <= reach).sort((a, b) => far(a) - far(b))[0] || null;
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

  render() {
    this.overlay.replaceChildren();
    if (!this.row || !this.row.width) return;
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
    for (const handle of this.handles()) this.handle(handle);
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

  // Where a box is on the stage.
  place([x1, y1, x2, y2]) {
    const [[left, top], [right, bottom]] = [[x1, y1], [x2, y2]].map((corner) => this.viewport.onStage(corner));
    return { x: left, y: top, width: right - left, height: bottom - top };
  }

  rect(box, kind) {
    for (const name of kind === "weak" ? [kind] : ["halo", kind]) {
      const shape = this.add("rect", { ...this.place(box), class: name });
      if (name === "halo") shape.style.strokeWidth = kind === "selected" ? 5 : 3.6;
    }
  }

  // What is not cut out is darker.
  shade(cuts) {
    const all = this.place([0, 0, this.row.width, this.row.height]);
    const mask = this.add("mask", { id: "uncut", maskUnits: "userSpaceOnUse", ...all });
    mask.append(this.make("rect", { ...all, class: "shown" }));
    for (const cut of cuts) mask.append(this.make("rect", { ...this.place(cut), class: "hidden" }));
    this.add("rect", { ...all, class: "shade", mask: "url(#uncut)" });
  }

  label(box, words, kind = "") {
    // Above the box, so that it hides nothing in it; inside where there is no room.
    const { x, y, width, height } = this.place(box);
    const { width: right, height: bottom } = this.viewport.size;
    if (x + width < 0 || y + height < 0 || x > right || y > bottom) return; // nothing of it is in view
    const [left, top] = [Math.max(x, 0) + 2, Math.max(y, 0)];
    this.add("text", { x: left, y: y > 20 ? y - 7 : top + 16, class: kind }).textContent = words;
  }

  handle([across, down, x, y]) {
    const [left, top] = this.viewport.onStage([x, y]);
    if (!across && !down) {
      this.add("circle", { cx: left, cy: top, r: GRIP, class: "grip" });
      this.add("path", { d: `M${left - 4.5} ${top}h9M${left} ${top - 4.5}v9`, class: "grip" });
      return;
    }
    this.add("rect", { x: left - HANDLE / 2, y: top - HANDLE / 2, width: HANDLE, height: HANDLE, class: "handle" });
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
  if (x === 0 && y === 0) return "move";
  if (x === 0) return "ns-resize";
  if (y === 0) return "ew-resize";
  return x === y ? "nwse-resize" : "nesw-resize";
}

// The middle of what can be seen of an edge from low to high.
function middleOf(low, high, from, to) {
  const [first, last] = [Math.max(low, from), Math.min(high, to)];
  return first < last ? (first + last) / 2 : (low + high) / 2;
}
