// Which part of the photo the stage shows: the wheel, two fingers, a drag with space or the middle button, and keys.

import { aroundBox, centredOn, clamped, fitted, isFitted, onPhoto, onStage, pinched, scaledAbout, shifted } from "./zoom.js";

const STEP = 1.5; // of a key or button
const PER_WHEEL_PIXEL = 0.002;
const PER_PINCH_PIXEL = 0.01; // two fingers on a touchpad: a wheel with Ctrl
const WHEEL_UNITS = [1, 33, 400]; // px, lines, pages

export class Viewport {
  // changed() is told of another view; taken() of a pointer that moves the view from now on, whatever it did before.
  constructor(stage, frame, { changed, taken }) {
    Object.assign(this, { stage, frame, changed, taken });
    this.photo = null; // {width, height, id} of the photo that is shown
    this.size = { width: 0, height: 0 }; // of the stage
    this.view = { scale: 0, x: 0, y: 0 };
    this.box = null; // the box that was zoomed to, as long as the view is that one
    this.fingers = new Map(); // number of the pointer → its place on the stage
    this.hand = null; // the pointers that move the view: "fingers", or the number of the mouse's; null: none
    this.space = false;
    stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    // Before the frame hears of it: what moves the view draws nothing.
    stage.addEventListener("pointerdown", (event) => this.down(event), true);
    stage.addEventListener("pointermove", (event) => this.move(event), true);
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => this.up(event), true);
    stage.addEventListener("mousedown", (event) => { if (event.button === 1) event.preventDefault(); }); // no autoscroll
    document.addEventListener("keydown", (event) => this.key(event, true));
    document.addEventListener("keyup", (event) => this.key(event, false));
    window.addEventListener("blur", () => this.hold(false));
    new ResizeObserver(() => this.resize()).observe(stage);
  }

  get density() {
    return window.devicePixelRatio || 1;
  }

  // Screen pixels per photo pixel, in per cent.
  get percent() {
    return Math.round(this.view.scale * this.density * 100);
  }

  get isFit() {
    return !this.photo || isFitted(this.view, this.size, this.photo);
  }

  // Another photo begins with all of it.
  show(photo) {
    const { photo: before } = this;
    if (before && photo && ["id", "width", "height"].every((name) => before[name] === photo[name])) return;
    this.photo = photo && photo.width ? photo : null;
    this.fit();
  }

  at(event) {
    return onPhoto(this.view, this.place(event));
  }

  place(event) {
    const corner = this.stage.getBoundingClientRect();
    return [event.clientX - corner.left, event.clientY - corner.top];
  }

  get middle() {
    return [this.size.width / 2, this.size.height / 2];
  }

  // ------------------------------------------------------------ what keys and buttons ask for

  fit() {
    if (this.photo) this.set(fitted(this.size, this.photo, this.density));
  }

  scaleBy(steps) {
    this.set(scaledAbout(this.view, this.view.scale * STEP ** steps, this.middle));
  }

  // One screen pixel per photo pixel; around the box where nothing was looked at closely before.
  pixels(box) {
    const scale = 1 / this.density;
    const around = this.isFit && box ? [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2] : onPhoto(this.view, this.middle);
    this.set(centredOn(around, scale, this.size));
  }

  // A box in the middle of the stage; asked for again, all of the photo.
  toBox(box) {
    if (this.box) {
      this.fit();
      return;
    }
    this.set(aroundBox(box, this.size, this.density));
    this.box = box;
  }

  set(view) {
    if (!this.photo || !this.size.width || !this.size.height) return;
    this.view = clamped(view, this.size, this.photo, this.density);
    this.box = null;
    const { style } = this.frame;
    style.width = `${this.photo.width * this.view.scale}px`;
    style.height = `${this.photo.height * this.view.scale}px`;
    style.transform = `translate(${this.view.x}px, ${this.view.y}px)`;
    this.changed();
  }

  // What was in the middle of the stage stays there.
  resize() {
    const { size: before, isFit } = this;
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!width || !height) return; // it is not shown
    this.size = { width, height };
    if (!this.photo) return;
    if (isFit || !before.width) this.fit();
    else this.set(shifted(this.view, (width - before.width) / 2, (height - before.height) / 2));
  }

  // ------------------------------------------------------------ wheel and pointers

  wheel(event) {
    if (!this.photo || !this.frame.offsetParent) return;
    event.preventDefault();
    const pixels = event.deltaY * WHEEL_UNITS[event.deltaMode] * (event.ctrlKey ? PER_PINCH_PIXEL : PER_WHEEL_PIXEL);
    if (!pixels) return;
    const ratio = Math.exp(-Math.min(Math.max(pixels, -0.7), 0.7));
    this.set(scaledAbout(this.view, this.view.scale * ratio, this.place(event)));
  }

  down(event) {
    if (!this.photo || !this.frame.offsetParent || event.target.closest("button")) return;
    if (event.pointerType === "touch") {
      if (event.isPrimary) this.fingers.clear(); // no other one is down, whatever became of the last ones
      this.fingers.set(event.pointerId, this.place(event));
      if (this.fingers.size < 2) return;
      this.take(event, "fingers");
    } else if (event.button === 1 || (event.button === 0 && this.space)) {
      this.last = this.place(event);
      this.take(event, event.pointerId);
    }
  }

  take(event, hand) {
    event.preventDefault();
    event.stopPropagation();
    this.stage.setPointerCapture(event.pointerId);
    if (this.hand === null) {
      this.hand = hand;
      this.taken();
      this.stage.classList.add("panning");
    }
  }

  move(event) {
    const now = this.place(event);
    const isFinger = this.fingers.has(event.pointerId);
    const before = [...this.fingers.values()];
    if (isFinger) this.fingers.set(event.pointerId, now);
    if (this.hand === null || (!isFinger && this.hand !== event.pointerId)) return;
    event.stopPropagation();
    if (!isFinger) {
      this.set(shifted(this.view, now[0] - this.last[0], now[1] - this.last[1]));
      this.last = now;
    } else if (before.length > 1) {
      this.set(pinched(this.view, before.slice(0, 2), [...this.fingers.values()].slice(0, 2)));
    } else {
      this.set(shifted(this.view, now[0] - before[0][0], now[1] - before[0][1])); // the finger that is left
    }
  }

  up(event) {
    const isFinger = this.fingers.delete(event.pointerId);
    if (this.hand === null || (!isFinger && this.hand !== event.pointerId)) return;
    event.stopPropagation();
    if (isFinger && this.fingers.size) return;
    this.hand = null;
    this.stage.classList.remove("panning");
  }

  key(event, down) {
    if (event.key !== " ") return;
    if (down && (event.target.closest("button, input, select, textarea, dialog") || !this.frame.offsetParent)) return;
    if (down) event.preventDefault(); // else the page scrolls
    this.hold(down);
  }

  hold(down) {
    this.space = down;
    this.stage.classList.toggle("holding", down);
  }

  onStage(point) {
    return onStage(this.view, point);
  }

  onPhoto(place) {
    return onPhoto(this.view, place);
  }
}
