// Tells what went wrong, what was done, and what the tab shows.

import { $, state } from "./state.js";

const TOAST_MS = 3500;

let unsaved = ""; // what was said and is not on disk; it stays until something is saved that was said later
let failures = 0; // number of times that happened

function wordsOf(error) {
  return state.offline ? "The server does not answer; is `detic-crop review` still running?" : error.message;
}

function tell(words) {
  $("error").textContent = words;
  $("error").hidden = !words;
}

export function complain(error) {
  state.behind = true;
  state.offline = error instanceof TypeError; // what fetch says when nobody answers
  tell(unsaved || wordsOf(error));
}

// An answer has come: there is nothing to complain of, but for what is not saved.
export function isWell() {
  state.offline = false;
  tell(unsaved);
}

// Something is on its way to the disk. Returns what to call with what becomes of it: lost(error), or saved(), which
// leaves alone what went wrong meanwhile: nobody has seen that yet.
export function saving() {
  const before = failures;
  return {
    lost: (error, image = "") => {
      failures += 1;
      complain(error);
      unsaved = `Not saved. ${image && `${image}: `}${wordsOf(error)}`;
      tell(unsaved);
    },
    saved: () => {
      if (failures === before) unsaved = "";
      isWell();
    },
  };
}

let toastTimer = 0;
export function toast(words) {
  $("toast").textContent = words;
  $("toast").classList.add("on");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => $("toast").classList.remove("on"), TOAST_MS);
}

export function showTitle() {
  const row = state.view && state.view.row;
  const what = state.grid ? "Grid – " : row ? `${row.image} – ` : "";
  document.title = `${what}detic-crop review`;
}
