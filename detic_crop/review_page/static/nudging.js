// Moves the outlined box, and its edges, by keys. The arrow says where it goes: with Shift the box, with Alt its right
// or lower edge, with both its left or upper one; Ctrl makes each step larger.

import { movedBox, withEdgeMoved } from "./boxes.js";
import { pickedBox } from "./choice.js";
import { draw, mayChoose } from "./judging.js";
import { state } from "./state.js";
import { toast } from "./telling.js";

const LARGE = 10; // photo pixels
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function isNudge({ key, shiftKey, altKey }) {
  return key in STEPS && (shiftKey || altKey);
}

let last = null; // {chosen, picked} after the last step: steps in a row are taken back at once

export function nudge({ key, shiftKey, altKey, ctrlKey, metaKey }) {
  if (state.busy || !mayChoose()) return;
  const box = pickedBox();
  if (!box) {
    toast("No box is outlined that could be moved: draw one.");
    return;
  }
  const { width, height } = state.view.row;
  const [dx, dy] = STEPS[key].map((step) => step * (ctrlKey || metaKey ? LARGE : 1));
  const edge = (dx ? 0 : 1) + (shiftKey ? 0 : 2);
  const moved = altKey ? withEdgeMoved(box, edge, dx || dy, width, height) : movedBox(box, dx, dy, width, height);
  if (moved.every((side, i) => side === box[i])) return; // the photo ends there
  const goesOn = last && last.chosen === state.chosen && last.picked === state.picked;
  const count = state.edits.length;
  draw(moved, state.picked);
  if (goesOn && count && state.edits.length > count) state.edits.pop();
  last = { chosen: state.chosen, picked: state.picked };
}
