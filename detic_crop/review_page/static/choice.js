// What Enter takes, and which verdicts the photo that is shown may get.
//
// A choice is the whole photo or a set of boxes, one for each animal, from left to right as in animals.csv.
// One of them is picked: its crop is shown, its handles are there, Delete drops it.

import { areaOf, inOrder, sameBox, sameBoxes } from "./boxes.js";
import { state } from "./state.js";

export function own(row) {
  return { kind: "own", boxes: inOrder(row.detected) };
}

export function choiceOf(row, boxes) {
  const sorted = inOrder(boxes);
  return sameBoxes(sorted, own(row).boxes) ? own(row) : { kind: "box", boxes: sorted };
}

export function firstChoice(row) {
  const verdict = row.verdict;
  if (verdict && verdict.verdict === "box") return { kind: "box", boxes: inOrder(verdict.boxes) };
  if (verdict && verdict.verdict === "whole") return { kind: "whole", boxes: [] };
  return own(row);
}

// What is outlined when a photo comes up.
export function startChoice(row) {
  const draft = state.drafts.of(row);
  return draft ? { kind: "box", boxes: draft } : firstChoice(row);
}

// Begin again with a photo.
export function startAgain(row) {
  state.chosen = row ? startChoice(row) : null;
  state.picked = row ? largestOf(state.chosen.boxes) : -1;
  state.adding = false;
}

export function largestOf(boxes) {
  return boxes.reduce((best, box, i) => (best < 0 || areaOf(box) > areaOf(boxes[best]) ? i : best), -1);
}

// Whether the boxes in hand are several animals, rather than guesses at one.
export function isSeveral() {
  return state.session.animals === "all" || state.chosen.boxes.length > 1;
}

export function pickedBox() {
  return state.chosen.boxes[state.picked] || null;
}

// Whether boxes are outlined that were drawn or picked and not taken yet.
export function isInHand() {
  const { row } = state.view;
  return Boolean(state.drafts.of(row)) || JSON.stringify(state.chosen) !== JSON.stringify(firstChoice(row));
}

export function nameOf(box) {
  const index = state.view.row.candidates.findIndex((candidate) => sameBox(candidate.box, box));
  return index < 0 ? "drawn box" : `box ${index + 1}`;
}

export function wordsOf({ verdict, boxes }) {
  if (verdict === "whole") return "whole photo";
  if (verdict === "rejected") return "rejected: no crop";
  if (verdict !== "box") return verdict;
  if (boxes.length === 1 && state.session.animals !== "all") return nameOf(boxes[0]);
  return animals(boxes.length);
}

export function animals(count) {
  return `${count} animal${count === 1 ? "" : "s"}`;
}

export function wordsOfGiven(verdict) {
  return wordsOf(verdict) + (verdict.reviewer ? ` — ${verdict.reviewer}` : "");
}

// What may be said of this photo: what cannot be seen cannot be judged.
export function isAllowed(verdict) {
  const { row } = state.view;
  if (!row.may.includes(verdict)) return false;
  if (state.picture !== "none") return true;
  // To accept is to leave it to the detector, whose crop this is not where a verdict was applied.
  const isDetectors = !["box", "whole"].includes(row.applied);
  return row.has_crop && (verdict === "rejected" || (["accepted", "unsure"].includes(verdict) && isDetectors));
}

// Whether the animal is seen at all, in the photo or its crop.
export function isSeen() {
  return ["accepted", "rejected"].some(isAllowed);
}

export function whyNot(row) {
  return row.problem || (state.picture === "none" ? NOT_SHOWN : "");
}

const NOT_SHOWN = "The photo cannot be shown; reload the page to try again. Until then only its crop can be judged.";

// What Enter says.
export function taken() {
  if (state.picture === "none") return "accepted";
  return { own: "accepted", whole: "whole", box: "box" }[state.chosen.kind];
}
