// What Enter takes, and which verdicts the photo that is shown may get.

import { sameBox } from "./boxes.js";
import { state } from "./state.js";

export function own(row) {
  return row.detected ? { kind: "own", box: row.detected } : { kind: "own", box: null };
}

export function firstChoice(row) {
  const verdict = row.verdict;
  if (verdict && verdict.verdict === "box") return { kind: "box", box: verdict.box };
  if (verdict && verdict.verdict === "whole") return { kind: "whole", box: null };
  return own(row);
}

// What is outlined when a photo comes up.
export function startChoice(row) {
  const draft = state.drafts.of(row);
  return draft ? { kind: "box", box: draft } : firstChoice(row);
}

// Whether a box is outlined that was drawn or picked and not taken yet.
export function isInHand() {
  const { row } = state.view;
  return Boolean(state.drafts.of(row)) || JSON.stringify(state.chosen) !== JSON.stringify(firstChoice(row));
}

export function nameOf(box) {
  const index = state.view.row.candidates.findIndex((candidate) => sameBox(candidate.box, box));
  return index < 0 ? "drawn box" : `box ${index + 1}`;
}

export function wordsOf(verdict) {
  if (verdict.verdict === "accepted") return "accepted";
  if (verdict.verdict === "whole") return "whole photo";
  if (verdict.verdict === "rejected") return "rejected: no crop";
  return nameOf(verdict.box);
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
  return row.has_crop && (verdict === "rejected" || (verdict === "accepted" && isDetectors));
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
