// Keys and buttons that look at a part of the photo.

import { pickedBox } from "./choice.js";
import { $ } from "./state.js";
import { toast } from "./telling.js";
import { viewport } from "./view.js";

const larger = () => viewport.scaleBy(1);
const smaller = () => viewport.scaleBy(-1);
const all = () => viewport.fit();
const pixels = () => viewport.pixels(pickedBox());

export const LOOKING_KEYS = { z: toBox, Z: pixels, 0: all, "+": larger, "=": larger, "-": smaller };

function toBox() {
  if (pickedBox()) viewport.toBox(pickedBox());
  else toast("No box is outlined; + zooms in.");
}

const BUTTONS = {
  "zoom-out": smaller, "zoom-pixels": pixels, "zoom-in": larger, "zoom-box": toBox, "zoom-fit": all,
};
for (const [id, action] of Object.entries(BUTTONS)) {
  $(id).addEventListener("click", (event) => {
    if (event.detail) $(id).blur(); // by mouse: keys go to the page again
    action();
  });
}
