// The review page: keys, buttons, and how it starts.
//
// state ← server, choice, sheet, telling ← view ← moving ← judging ← viewpoint ← finding, looking ← nudging, finish
// ← grid ← places ← review: each file imports only those before it.

import { Drafts } from "./drafts.js";
import { addFilters, countAgain, filterBy } from "./finding.js";
import { apply, backToPhoto, finish, lookAgain, reopen, toggleFinish, watch } from "./finish.js";
import { heard, renewGrid, undoAcceptance } from "./grid.js";
import {
  addAnother, cycle, draw, dropPicked, give, nextDraft, pick, reset, saveNote, take, takeNumber, undo, writeNote,
} from "./judging.js";
import { LOOKING_KEYS } from "./looking.js";
import { showHome } from "./home.js";
import { open, poll, step } from "./moving.js";
import { isNudge, nudge } from "./nudging.js";
import { back, backFromTakenOut, finishFromGrid, gridKey, showGrid, showIndividual, startGrid } from "./places.js";
import { ask } from "./server.js";
import { showSheet } from "./sheet.js";
import { $, filters, state } from "./state.js";
import { complain } from "./telling.js";
import { drawing, handlers, isFree, showDrafts } from "./view.js";
import { see, VIEWPOINT_KEYS, VIEWPOINTS } from "./viewpoint.js";

const POLL_MS = 2000;

Object.assign(handlers, {
  drawn: draw,
  clicked: pick,
  changed,
  heard,
  renewed: () => { addFilters(); renewGrid(); lookAgain(); },
  finish: () => backFromTakenOut() || finish(),
});

const KEYS = {
  Enter: take, a: take, w: () => give("whole"), x: () => give("rejected"), u: undo,
  q: () => give("unsure"), n: addAnother, Delete: dropPicked, Backspace: dropPicked, m: () => $("note").focus(),
  c: () => cycle(1), C: () => cycle(-1),
  ArrowRight: () => step(true), j: () => step(true), ArrowLeft: () => step(false), k: () => step(false),
  ...VIEWPOINT_KEYS,
  f: find, "/": find, "?": help, Escape: () => back() || reset(), d: nextDraft, p: toggleFinish,
  g: showGrid, i: showIndividual,
  ...LOOKING_KEYS,
};
// While the card of the end stands in place of the photo.
const KEYS_OF_CARD = {
  u: undo, f: find, "/": find, "?": help, d: nextDraft, p: backToPhoto, Escape: backToPhoto, k: backToPhoto,
  ArrowLeft: backToPhoto, g: showGrid,
};
const ALSO_IN_GRID = { "?": help, f: find, "/": find, d: nextDraft };
const REPEATING = new Set(["ArrowRight", "ArrowLeft", "j", "k", "c", "C", "+", "=", "-"]);

function find() {
  showSheet(true); // where the page is narrow, the field is in it
  $("find").focus();
}

function help() {
  if ($("help").open) $("help").close();
  else {
    $("help").showModal();
    $(state.grid ? "help-grid" : "help-title").scrollIntoView();
  }
}

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (!state.view || event.isComposing || target.closest("input, select, textarea")) return;
  if ($("help").open) {
    if (key === "?") help();
    return;
  }
  if (state.grid) {
    keyInGrid(event);
    return;
  }
  if (!state.finished && isNudge(event)) {
    event.preventDefault(); // Alt+← would leave the page
    if (state.view.row) nudge(event);
    return;
  }
  if (event.metaKey || event.ctrlKey || event.altKey) {
    if (key !== "z" || event.altKey || event.shiftKey) return;
    event.preventDefault();
    undo();
    return;
  }
  if (target.closest("button") && (key === "Enter" || key === " ")) return; // the button's own
  const action = actionOf(key);
  if (!action || (!state.view.row && !["u", "f", "/", "?", "d", "p"].includes(key))) return;
  event.preventDefault();
  // A verdict key that is held down must not judge one photo after another.
  if (event.repeat && !REPEATING.has(key)) return;
  if (key === "Escape" || isFree()) action();
});

function keyInGrid(event) {
  const { key } = event;
  if (event.target.closest("button") && (key === "Enter" || key === " ")) return;
  if (event.metaKey || event.ctrlKey || event.altKey) {
    if (key !== "z" || event.altKey || event.shiftKey) return;
    undoAcceptance();
  } else if (ALSO_IN_GRID[key]) ALSO_IN_GRID[key]();
  else if (!gridKey(event)) return;
  event.preventDefault();
}

function actionOf(key) {
  if (state.finished) return KEYS_OF_CARD[key] || KEYS_OF_CARD[key.toLowerCase()];
  return /^[1-9]$/.test(key) ? () => takeNumber(Number(key)) : KEYS[key] || KEYS[key.toLowerCase()];
}

// What is said of photos has changed, or which of them are shown.
function changed() {
  countAgain();
  lookAgain();
}

function onClick(id, action) {
  $(id).addEventListener("click", (event) => {
    if (event.detail) $(id).blur(); // by mouse: keys go to the page again
    action();
  });
}
onClick("take", take);
onClick("whole", () => give("whole"));
onClick("reject", () => give("rejected"));
onClick("unsure", () => give("unsure"));
onClick("another", addAnother);
onClick("drop", dropPicked);
onClick("undo", undo);
onClick("previous", () => step(false));
onClick("next", () => step(true));
onClick("help-button", help);
onClick("drafts", nextDraft);
onClick("finish-button", () => (state.grid ? finishFromGrid() : toggleFinish()));
onClick("finish-back", backToPhoto);
onClick("finish-undo", undo);
onClick("apply", apply);
onClick("reopen", reopen);
onClick("empty-clear", () => filterBy({}));
for (const viewpoint of VIEWPOINTS) onClick(`viewpoint-${viewpoint}`, () => see(viewpoint));

$("note").addEventListener("input", writeNote);
$("note").addEventListener("blur", saveNote);
$("note").addEventListener("keydown", (event) => {
  if (event.key !== "Escape" && !(event.key === "Enter" && (event.ctrlKey || event.metaKey))) return;
  event.preventDefault();
  event.stopPropagation();
  $("note").blur();
});

window.addEventListener("beforeunload", (event) => {
  const isUnsaved = state.busy || state.saving || state.marking || drawing.drag;
  if (!(state.drafts && state.drafts.size) && !isUnsaved) return;
  event.preventDefault();
  event.returnValue = ""; // for older browsers
});

async function start() {
  try {
    state.session = await ask("api/session");
  } catch (error) {
    complain(error);
    return;
  }
  state.seen = state.session.since;
  state.drafts = new Drafts(state.session.id, showDrafts);
  showDrafts();
  $("absent").textContent = state.session.absent;
  $("absent").hidden = !state.session.absent;
  $("folder").textContent = state.session.folder;
  $("folder").title = `${state.session.total.toLocaleString("en")} photo${state.session.total === 1 ? "" : "s"}; you are ${state.session.reviewer}`;
  showHome();
  $("blind").hidden = !state.session.blind;
  $("viewpoint").hidden = state.session.blind; // the estimate does not ask for it
  $("blind-reviewer").textContent = state.session.reviewer;
  $("crop-figure").hidden = state.session.blind; // the outlined box shows what was cut out
  $("what-follows").hidden = state.session.blind;
  const place = new URLSearchParams(location.hash.slice(1));
  const at = place.get("at");
  const page = place.get("grid");
  place.delete("at");
  const known = new Set(["reviewed", "viewpoint", "individual", "photos", ...state.session.choices.map(({ filter }) => filter)]);
  for (const [name, value] of place) if (known.has(name)) filters.set(name, value);
  addFilters();
  await open(at);
  if (!state.view) await open(null);
  await startGrid(page);
  setInterval(poll, POLL_MS);
  ask("api/apply").then(({ is_running: isRunning }) => { if (isRunning) watch(); }, () => {});
  for (const name of ["focus", "visibilitychange"]) window.addEventListener(name, poll);
}

start();
