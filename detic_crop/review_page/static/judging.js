// Picks and draws boxes, and sends verdicts.

import { inOrder, sameBox, sameBoxes } from "./boxes.js";
import {
  choiceOf, firstChoice, isAllowed, isSeveral, largestOf, startAgain, taken, whyNot, wordsOf,
} from "./choice.js";
import { open, step } from "./moving.js";
import { noteVerdict } from "./pace.js";
import { leftOf } from "./progress.js";
import { ask, query } from "./server.js";
import { $, filters, state } from "./state.js";
import { saving, toast } from "./telling.js";
import { drawing, handlers, isFree, markBusy, mayGoOn, render, wish } from "./view.js";

const MOST_ANIMALS = 999;

function choose(boxes, picked) {
  state.chosen = choiceOf(state.view.row, boxes);
  state.picked = picked ? state.chosen.boxes.findIndex((box) => sameBox(box, picked)) : largestOf(boxes);
  render();
}

// Another set of animals: kept until a verdict, and the one before until another photo.
function change(boxes, picked) {
  const { row } = state.view;
  state.edits.push({ chosen: state.chosen, picked: state.picked });
  const sorted = inOrder(boxes);
  if (sameBoxes(sorted, firstChoice(row).boxes)) state.drafts.drop(row.id);
  else state.drafts.keep(row, sorted);
  choose(sorted, picked);
}

// Another animal beside those that are outlined.
function add(box) {
  state.adding = false;
  const { boxes } = state.chosen;
  if (boxes.some((other) => sameBox(other, box))) choose(boxes, box); // it is one of them
  else if (boxes.length >= MOST_ANIMALS) toast(`A photo has at most ${MOST_ANIMALS} animals.`);
  else change([...boxes, box], box);
  render();
}

export function pick(box) {
  state.touched += 1;
  const place = state.chosen.boxes.findIndex((other) => sameBox(other, box));
  if (!isSeveral() && !state.adding) choose([box]);
  else if (place >= 0) pickAnimal(place);
  else add(box);
}

export function pickAnimal(place) {
  state.picked = place;
  render();
}

// A box that was drawn is kept until a verdict; one that there is already is only picked.
// at: the place of the animal that it is drawn for anew; -1: it is another one.
export function draw(box, at) {
  const { row } = state.view;
  state.touched += 1;
  if (isSeveral() && at >= 0) {
    change(state.chosen.boxes.map((other, i) => (i === at ? box : other)), box);
  } else if (isSeveral() || state.adding) {
    add(box);
  } else {
    const given = row.verdict ? row.verdict.boxes : [];
    const known = [...row.detected, ...given, ...row.candidates.map((candidate) => candidate.box)];
    if (known.some((other) => sameBox(other, box))) state.drafts.drop(row.id);
    else state.drafts.keep(row, [box]);
    choose([box]);
  }
}

// The next box that is drawn or clicked is another animal.
export function addAnother() {
  if (state.busy || !mayChoose()) return;
  state.adding = !state.adding;
  render();
}

export function dropPicked() {
  if (state.busy || !mayChoose()) return;
  const { boxes } = state.chosen;
  if (!boxes.length) {
    toast("No box is outlined that could be dropped.");
  } else if (boxes.length === 1) {
    toast("This is the only box. For a photo without an animal: x rejects it, w takes all of it.");
  } else if (state.picked < 0) {
    toast("Pick the animal first: click it, or press its number.");
  } else {
    state.touched += 1;
    const left = boxes.filter((_, i) => i !== state.picked);
    change(left, left[Math.min(state.picked, left.length - 1)]);
    toast("Dropped. Ctrl+z brings it back.");
  }
}

export function cycle(by) {
  if (state.busy || !isFree()) return;
  if (isSeveral() && state.chosen.boxes.length) {
    const count = state.chosen.boxes.length;
    pickAnimal((Math.max(state.picked, by < 0 ? 0 : -1) + by + count) % count);
    return;
  }
  if (!mayChoose()) return;
  const draft = state.drafts.of(state.view.row);
  const boxes = [...state.view.row.candidates.map((candidate) => candidate.box), ...(draft || [])];
  if (!boxes.length) {
    toast("The detector kept no boxes of this photo: draw one.");
    return;
  }
  const here = boxes.findIndex((box) => sameBox(box, state.chosen.boxes[0]));
  const start = here < 0 && by < 0 ? 0 : here;
  const box = boxes[(start + by + boxes.length) % boxes.length];
  if (isSeveral()) change([box], box);
  else choose([box]);
}

// Whether a verdict can be given now; says why not.
function mayJudge(verdict) {
  return maySay(isAllowed(verdict));
}

// Whether something can be said of the photo now, if that is allowed; says why not.
export function maySay(allowed) {
  if (!isFree() || !mayGoOn()) return false;
  if (!allowed) {
    toast(whyNot(state.view.row) || "That cannot be said of this photo.");
    return false;
  }
  const crop = $("instead-crop");
  const isSeen = state.picture === "shown" || (state.picture === "none" && crop.complete && crop.naturalWidth);
  if (!isSeen) toast("The picture is not here yet.");
  return isSeen;
}

export function mayChoose() {
  if (!isFree()) return false;
  if (isAllowed("box")) return true;
  toast(whyNot(state.view.row) || "The photo is not shown, so no box can be chosen.");
  return false;
}

export function take() {
  give(taken(), state.chosen.boxes);
}

function setBusy(value) {
  state.busy = value;
  markBusy();
}

export async function give(verdict, boxes = []) {
  const row = state.view && state.view.row;
  if (!row || !mayJudge(verdict)) return;
  const isLast = wish(false);
  const since = state.touched;
  const before = row.verdict;
  const left = leftOf(state.view);
  const same = before && before.verdict === verdict && (verdict !== "box" || sameBoxes(inOrder(before.boxes), boxes));
  setBusy(true);
  try {
    if (same) {
      if (!(await saveNote()) || state.touched !== since || !isLast()) return;
      state.drafts.drop(row.id);
      setBusy(false);
      step(true); // said already
      return;
    }
    const draft = state.drafts.of(row);
    const note = state.drafts.noteOf(row);
    const answer = await send(row, verdict, boxes, note);
    if (!answer) return;
    if (note) noteIsSaved(row, note, answer.note);
    settle(row, since);
    state.given.push({ id: row.id, image: row.image, before, draft, photo: row.photo });
    toast(`${row.image}: ${wordsOf({ verdict, boxes })} (u takes it back)`);
    noteVerdict();
    const last = !state.view.next;
    if (filters.has("reviewed")) state.ahead = null; // this photo has left the filter or come into it
    const isThere = isLast() && await open(state.view.next || row.id, { since });
    if (!isThere) render();
    else if (last || (left && !leftOf(state.view))) handlers.finish();
  } finally {
    setBusy(false);
  }
}

// Nothing is in hand any more of what a verdict was given on, but for what was touched since.
function settle(row, since) {
  const isHere = state.view.row && state.view.row.id === row.id;
  if (isHere) state.meanwhile = null;
  if (state.touched !== since) return;
  state.drafts.drop(row.id);
  if (!isHere) return; // another photo was asked for meanwhile
  state.edits = [];
  startAgain(state.view.row);
}

export async function undo() {
  if (!state.view || !isFree() || (state.busy && !mayGoOn())) return;
  if (state.edits.length) {
    takeBackEdit();
    return;
  }
  const last = state.given[state.given.length - 1];
  if (last && last.written) {
    handlers.undoSeveral();
    return;
  }
  const { row } = state.view;
  if (!last && !(row && row.verdict)) {
    toast("There is no verdict to take back.");
    return;
  }
  const { id, image } = last || row;
  const before = last ? last.before : null;
  const isLast = wish(false);
  const since = state.touched;
  setBusy(true);
  try {
    if (!(await send({ id, image }, before ? before.verdict : "undone", before ? before.boxes : []))) return;
    state.given.pop();
    // The box that was drawn for it comes back, unless there is a newer one.
    if (last && last.draft && !state.drafts.has(id)) {
      state.drafts.keep(last, last.draft);
      if (state.view.row && state.view.row.id === id) startAgain(state.view.row);
    }
    if (isLast()) await open(id, { remember: false, since });
    else render();
    toast("Taken back.");
  } finally {
    setBusy(false);
  }
}

// The boxes of this photo as they were before the last change.
function takeBackEdit() {
  const { row } = state.view;
  const { chosen, picked } = state.edits.pop();
  state.touched += 1;
  if (sameBoxes(chosen.boxes, firstChoice(row).boxes)) state.drafts.drop(row.id);
  else state.drafts.keep(row, chosen.boxes);
  Object.assign(state, { chosen, picked, adding: false });
  render();
  toast("The last change of a box is taken back.");
}

// What the server answers once it is on disk, else false; one after the other, so that the last word said is the last one written.
let sending = Promise.resolve();
export function send(...said) {
  const { lost, saved } = saving();
  sending = sending.then(() => sendNow({ lost, saved }, ...said));
  return sending;
}

// more: returns what is said beside the verdict, as the server names it; asked once all before it is on disk.
async function sendNow({ lost, saved }, { id, image }, verdict, boxes, note = null, more = () => ({})) {
  try {
    const said = { verdict, ...more(), ...(verdict === "box" && { boxes }) };
    if (note) Object.assign(said, { note: note.text, note_before: note.before });
    const body = JSON.stringify({ id, ...said });
    const headers = { "Content-Type": "application/json" };
    const filtered = query();
    const answer = await ask(`api/verdict?${filtered}`, { method: "POST", headers, body });
    await drawing.released();
    const { verdict: given, note: written, viewpoint } = answer;
    if (state.view.row && state.view.row.id === id) Object.assign(state.view.row, { verdict: given, note: written, viewpoint });
    if (state.ahead && filtered === query()) {
      const { reviewed, unsure, total, all } = answer;
      state.ahead.answer = state.ahead.answer.then((next) => ({ ...next, reviewed, unsure, total, all }));
      state.ahead.answer.catch(() => {});
    }
    saved();
    handlers.changed();
    return answer;
  } catch (error) {
    await drawing.released();
    const isHere = state.view.row && state.view.row.id === id;
    lost(error, isHere ? "" : image);
    return false;
  }
}

// What was typed is kept until it is saved.
export function writeNote() {
  const row = state.view && state.view.row;
  if (!row) return;
  state.touched += 1; // whoever writes stays at this photo
  const text = $("note").value;
  const begun = state.drafts.noteOf(row);
  const before = begun ? begun.before : row.note;
  if (text === before) state.drafts.dropNote(row.id);
  else state.drafts.keepNote(row, { text, before });
}

// A note is on disk; what was typed meanwhile is not.
function noteIsSaved(row, note, saved) {
  const now = state.drafts.noteOf(row);
  if (now && now.text === note.text) state.drafts.dropNote(row.id);
  else if (now && saved === note.text.trim()) state.drafts.keepNote(row, { text: now.text, before: saved });
}

// Save the note of this photo by itself; true once it is on disk as it was when it was asked for, or if there is none.
let noting = Promise.resolve();
export function saveNote() {
  const row = state.view && state.view.row;
  noting = noting.then(() => saveNoteNow(row));
  return noting;
}

async function saveNoteNow(row) {
  const note = row && state.drafts.noteOf(row);
  if (!note) return true;
  state.saving += 1;
  markBusy();
  try {
    const answer = await send(row, "", [], note);
    if (!answer) return false;
    noteIsSaved(row, note, answer.note);
    render();
    return true;
  } finally {
    state.saving -= 1;
    markBusy();
  }
}

export function reset() {
  if (drawing.cancel() || !state.view.row) return;
  if (state.adding) {
    state.adding = false;
    render();
    return;
  }
  const { row } = state.view;
  const draft = state.drafts.of(row);
  // First what was picked over it, then what was drawn.
  if (draft && sameBoxes(draft, state.chosen.boxes)) {
    if (isSeveral()) state.edits.push({ chosen: state.chosen, picked: state.picked });
    state.drafts.drop(row.id);
  }
  startAgain(row);
  state.meanwhile = null;
  render();
}

export function nextDraft() {
  if (state.busy || !isFree()) return;
  if (!state.drafts.size) toast("No box is drawn and not taken.");
  else open(state.drafts.after(state.view && state.view.row && state.view.row.id));
}

export function takeNumber(number) {
  if (!isFree()) return;
  if (isSeveral()) {
    if (number <= state.chosen.boxes.length) pickAnimal(number - 1);
    else toast(`There is no animal ${number}.`);
    return;
  }
  if (!mayChoose()) return;
  const candidate = state.view.row.candidates[number - 1];
  if (!candidate) toast(`There is no box ${number}.`);
  else if (state.adding) pick(candidate.box);
  else if (candidate.own) give("accepted");
  else give("box", [candidate.box]);
}
