// Says from which side the animal is seen, with a verdict or without one; the page stays at the photo.

import { isSeen } from "./choice.js";
import { maySay, send } from "./judging.js";
import { filters, state } from "./state.js";
import { toast } from "./telling.js";
import { markBusy, render } from "./view.js";

export const VIEWPOINTS = ["left", "right", "top", "fluke"];
export const VIEWPOINT_KEYS = {
  l: () => see("left"), r: () => see("right"), t: () => see("top"), e: () => see("fluke"),
};

// Say it, or take it back where that is said already.
export async function see(viewpoint) {
  const row = state.view && state.view.row;
  if (!row || state.session.blind || !maySay(isSeen())) return;
  state.marking += 1;
  markBusy();
  try {
    const answer = await send(row, "", [], null, () => marked(row, viewpoint));
    if (!answer) return;
    row.viewpoint = answer.viewpoint;
    if (filters.has("viewpoint")) state.ahead = null; // this photo has left the filter or come into it
    toast(`${row.image}: viewpoint ${answer.viewpoint || "taken back"}`);
    render();
  } finally {
    state.marking -= 1;
    markBusy();
  }
}

// What the same photo had when all said before was on disk; news of it may have come meanwhile.
function marked(row, viewpoint) {
  const here = state.view.row;
  const before = (here && here.id === row.id ? here : row).viewpoint;
  return { viewpoint: before === viewpoint ? "" : viewpoint, viewpoint_before: before };
}
