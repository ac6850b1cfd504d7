// Says from which side the animal is seen, with a verdict or without one; the page stays at the photo.

import { isSeen } from "./choice.js";
import { maySay, send } from "./judging.js";
import { filters, state } from "./state.js";
import { markBusy, render, toast } from "./view.js";

export const VIEWPOINT_KEYS = { l: "left", r: "right", t: "top", e: "fluke" };

let marking = Promise.resolve(); // each press finds what the one before it has said

// Say it, or take it back where that is said already.
export function see(viewpoint) {
  const row = state.view && state.view.row;
  if (!row || state.session.blind || state.busy || !maySay(isSeen())) return;
  state.marking += 1;
  markBusy();
  marking = marking.then(() => mark(row, viewpoint)).finally(() => {
    state.marking -= 1;
    markBusy();
  });
}

async function mark(row, viewpoint) {
  const said = { viewpoint: row.viewpoint === viewpoint ? "" : viewpoint, viewpoint_before: row.viewpoint };
  const answer = await send(row.id, "", [], null, said);
  if (!answer) return;
  row.viewpoint = answer.viewpoint;
  if (filters.has("viewpoint")) state.ahead = null; // this photo has left the filter or come into it
  toast(`${row.image}: ${row.viewpoint ? `viewpoint ${row.viewpoint}` : "viewpoint taken back"}`);
  render();
}
