// Boxes over the photo, and the mouse: drag to draw, drag a handle to adjust, click to pick.

import { boxBetween, cropRectangle, sameBox } from "./boxes.js";

const SVG = "http://www.w3.org/2000/svg";
const MIN_DRAG = 5; // px on the screen; less is a click
const HANDLE = 9;
const REACH = 9; // px around a handle that still take it
const MAX_LABELS = 9;

export class Drawing {
  // drawn(box) and clicked(box) are told of a box once the mouse is let go, dragged(box) of one in the making.
  constructor(stage, frame, overlay, { drawn, clicked, dragged, dropped }) {
    Object.assign(this, { stage, frame, overlay, drawn, clicked, dragged, dropped });
    this.row = null;
    this.selected = null;
    this.drag = null;
    this.waiting = []; // who waits until the mouse is let go
    frame.addEventListener("pointerdown", (event) => this.down(event));
    frame.addEventListener("pointermove", (event) => this.move(event));
    frame.addEventListener("pointerup", (event) => this.up(event));
    frame.addEventListener("pointercancel", (event) => this.finish(event.pointerId));
    new ResizeObserver(() => this.render()).observe(stage);
  }

  // A box in the making stays as it is, and its photo too: only the mouse ends it.
  // `draft` was drawn and is kept, whatever is outlined now.
  show(row, selected, draft, session) {
    if (this.drag) return;
    Object.assign(this, { row, selected, draft, session });
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
    const handle = this.handleAt(point);
    const [x1, y1, x2, y2] = this.selected || [];
    this.drag = { pointer: event.pointerId, start: point, before: this.selected, moved: false };
    // The opposite corner stays; a handle in the middle of an edge moves that edge only.
    if (handle) {
      this.drag.anchor = [handle[0] < 0 ? x2 : x1, handle[1] < 0 ? y2 : y1];
      this.drag.fixed = [handle[0] === 0 ? x2 : null, handle[1] === 0 ? y2 : null];
    }
  }

  move(event) {
    if (!this.drag) {
      if (this.row && this.scale) this.frame.style.cursor = cursorOf(this.handleAt(this.at(event)));
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
      this.dragged(box);
      this.render();
    }
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
    const { moved, before } = this.drag;
    this.drag = null;
    if (moved && this.selected !== before) this.drawn(this.selected);
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

  // The smallest box around a point.
  boxAt([x, y]) {
    const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
    const around = this.row.candidates
      .map((candidate) => candidate.box)
      .filter(([x1, y1, x2, y2]) => x1 <= x && x <= x2 && y1 <= y && y <= y2);
    return around.sort((a, b) => area(a) - area(b))[0];
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
    const { row, session, selected } = this;
    const cut = selected
      ? cropRectangle(selected, session, row.width, row.height)
      : [0, 0, row.width, row.height];
    this.shade(cut);
    const kinds = row.candidates.map((c) => (c.own ? "own" : c.eligible ? "eligible" : "weak"));
    for (let i = row.candidates.length - 1; i >= 0; i -= 1) {
      if (!sameBox(row.candidates[i].box, selected)) this.rect(row.candidates[i].box, kinds[i]);
    }
    if (row.detected && !kinds.includes("own") && !sameBox(row.detected, selected)) this.rect(row.detected, "own");
    if (this.draft && !this.drag && !sameBox(this.draft, selected)) this.rect(this.draft, "drawn");
    this.rect(cut, "cut");
    if (selected) this.rect(selected, "selected");
    row.candidates.slice(0, MAX_LABELS).forEach((candidate, i) => {
      this.label(candidate.box, `${i + 1} ${candidate.class} ${candidate.score.toFixed(2)}`);
    });
    for (const [, , x, y] of this.handles()) this.handle(x, y);
  }

  rect(box, kind) {
    const [x1, y1, x2, y2] = box.map((edge) => edge * this.scale);
    for (const name of kind === "weak" ? [kind] : ["halo", kind]) {
      const shape = this.add("rect", { x: x1, y: y1, width: x2 - x1, height: y2 - y1, class: name });
      if (name === "halo") shape.style.strokeWidth = kind === "selected" ? 5 : 3.6;
    }
  }

  // What is not cut out is darker.
  shade([x1, y1, x2, y2]) {
    const { width, height } = this.row;
    for (const [left, top, right, bottom] of [
      [0, 0, width, y1], [0, y2, width, height], [0, y1, x1, y2], [x2, y1, width, y2],
    ]) {
      const size = { width: (right - left) * this.scale, height: (bottom - top) * this.scale };
      if (size.width && size.height) {
        this.add("rect", { x: left * this.scale, y: top * this.scale, ...size, class: "shade" });
      }
    }
  }

  label(box, words) {
    // Above the box, so that it hides nothing in it; inside where there is no room.
    const [x, top] = [box[0] * this.scale + 2, box[1] * this.scale];
    this.add("text", { x: Math.max(x, 2), y: top > 20 ? top - 7 : top + 16 }).textContent = words;
  }

  handle(x, y) {
    const side = { width: HANDLE, height: HANDLE, class: "handle" };
    this.add("rect", { x: x * this.scale - HANDLE / 2, y: y * this.scale - HANDLE / 2, ...side });
  }

  add(name, attributes) {
    const element = document.createElementNS(SVG, name);
    for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
    this.overlay.append(element);
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
