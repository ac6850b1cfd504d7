// Picks and draws boxes, and sends verdicts.

import { sameBox } from "./boxes.js";
import { firstChoice, isAllowed, own, startChoice, taken, whyNot, wordsOf } from "./choice.js";
import { open, step } from "./moving.js";
import { ask, query } from "./server.js";
import { $, filters, state } from "./state.js";
import { complain, drawing, isFree, markBusy, render, toast } from "./view.js";

function choose(box) {
  state.chosen = sameBox(box, state.view.row.detected) ? own(state.view.row) : { kind: "box", box };
  render();
}

export function pick(box) {
  state.touched += 1;
  choose(box);
}

// A box that was drawn is kept until a verdict; one that there is already is only picked.
export function draw(box) {
  const { row } = state.view;
  state.touched += 1;
  const verdict = row.verdict && row.verdict.box;
  const known = [row.detected, verdict, ...row.candidates.map((candidate) => candidate.box)];
  if (known.some((other) => sameBox(other, box))) state.drafts.drop(row.id);
  else state.drafts.keep(row, box);
  choose(box);
}

export function cycle(by) {
  if (state.busy || !mayChoose()) return;
  const draft = state.drafts.of(state.view.row);
  const boxes = [...state.view.row.candidates.map((candidate) => candidate.box), ...(draft ? [draft] : [])];
  if (!boxes.length) {
    toast("The detector kept no boxes of this photo: draw one.");
    return;
  }
  const here = boxes.findIndex((box) => sameBox(box, state.chosen.box));
  const start = here < 0 && by < 0 ? 0 : here;
  choose(boxes[(start + by + boxes.length) % boxes.length]);
}

// Whether a verdict can be given now; says why not.
function mayJudge(verdict) {
  if (!isFree()) return false;
  if (state.pending) {
    toast("The next photo is not here yet.");
    return false;
  }
  if (!isAllowed(verdict)) {
    toast(whyNot(state.view.row) || "That cannot be said of this photo.");
    return false;
  }
  const crop = $("instead-crop");
  const isSeen = state.picture === "shown" || (state.picture === "none" && crop.complete && crop.naturalWidth);
  if (!isSeen) toast("The picture is not here yet.");
  return isSeen;
}

function mayChoose() {
  if (!isFree()) return false;
  if (isAllowed("box")) return true;
  toast(whyNot(state.view.row) || "The photo is not shown, so no box can be chosen.");
  return false;
}

export function take() {
  give(taken(), state.chosen.box);
}

function setBusy(value) {
  state.busy = value;
  markBusy();
}

export async function give(verdict, box) {
  const row = state.view && state.view.row;
  if (state.busy || !row || !mayJudge(verdict)) return;
  const since = state.touched;
  const before = row.verdict;
  const same = before && before.verdict === verdict && (verdict !== "box" || sameBox(before.box, box));
  if (same) {
    state.drafts.drop(row.id);
    step(true); // said already
    return;
  }
  setBusy(true);
  try {
    const draft = state.drafts.of(row);
    if (!(await send(row.id, verdict, box))) return;
    state.meanwhile = null;
    if (state.touched === since) {
      state.drafts.drop(row.id);
      state.chosen = firstChoice(state.view.row);
    }
    state.given.push({ id: row.id, before, draft, photo: row.photo });
    toast(`${row.image}: ${wordsOf({ verdict, box })} (u takes it back)`);
    const last = !state.view.next;
    if (filters.has("reviewed")) state.ahead = null; // this photo has left the filter or come into it
    const isThere = await open(state.view.next || row.id, { since });
    if (!isThere) render();
    else if (last) toast("That was the last photo of these filters.");
  } finally {
    setBusy(false);
  }
}

export async function undo() {
  if (state.busy || !state.view || !isFree()) return;
  const last = state.given[state.given.length - 1];
  const row = state.view.row;
  if (!last && !(row && row.verdict)) {
    toast("There is no verdict to take back.");
    return;
  }
  const id = last ? last.id : row.id;
  const before = last ? last.before : null;
  const since = state.touched;
  setBusy(true);
  try {
    if (!(await send(id, before ? before.verdict : "undone", before && before.box))) return;
    state.given.pop();
    // The box that was drawn for it comes back, unless there is a newer one.
    if (last && last.draft && !state.drafts.has(id)) {
      state.drafts.keep(last, last.draft);
      if (row && row.id === id) state.chosen = startChoice(row);
    }
    await open(id, { remember: false, since });
    toast("Taken back.");
  } finally {
    setBusy(false);
  }
}

// True once the verdict is on disk.
async function send(id, verdict, box) {
  try {
    const body = JSON.stringify({ id, verdict, box: verdict === "box" ? box : undefined });
    const headers = { "Content-Type": "application/json" };
    const answer = await ask(`api/verdict?${query()}`, { method: "POST", headers, body });
    await drawing.released();
    if (state.view.row && state.view.row.id === id) state.view.row.verdict = answer.verdict;
    if (state.ahead) {
      const { reviewed, total } = answer;
      state.ahead.answer = state.ahead.answer.then((next) => ({ ...next, reviewed, total }));
      state.ahead.answer.catch(() => {});
    }
    $("error").hidden = true;
    return true;
  } catch (error) {
    await drawing.released();
    complain(error);
    $("error").textContent = `Not saved. ${$("error").textContent}`;
    return false;
  }
}

export function reset() {
  if (drawing.cancel() || !state.view.row) return;
  const draft = state.drafts.of(state.view.row);
  // First what was picked over it, then the drawn box itself.
  if (draft && sameBox(draft, state.chosen.box)) state.drafts.drop(state.view.row.id);
  state.chosen = startChoice(state.view.row);
  state.meanwhile = null;
  render();
}

export function nextDraft() {
  if (state.busy || !isFree()) return;
  if (!state.drafts.size) toast("No box is drawn and not taken.");
  else open(state.drafts.after(state.view && state.view.row && state.view.row.id));
}

export function takeNumber(number) {
  if (!mayChoose()) return;
  const candidate = state.view.row.candidates[number - 1];
  if (!candidate) toast(`There is no box ${number}.`);
  else if (candidate.own) give("accepted");
  else give("box", candidate.box);
}
