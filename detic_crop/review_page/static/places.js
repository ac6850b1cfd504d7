// From one photo to the grid and back, and into narrower filters: all photos of one individual, or what was taken out.
//
// Whatever is entered is left again for the place where it was entered.

import { isInHand } from "./choice.js";
import { countAgain, showFilters } from "./finding.js";
import { finish } from "./finish.js";
import { accept, CARD_KEYS, focusedCard, idsShown, load, show, showAll, showNarrowed, turn, undoAcceptance } from "./grid.js";
import { open } from "./moving.js";
import { $, filters, state } from "./state.js";
import { openOnes, readTakenOut } from "./taken_out.js";
import { complain, toast } from "./telling.js";
import { drawing, handlers, mayGoOn, whileComing, wish } from "./view.js";

const NARROWER = ["individual", "photos"]; // filters that no choice in the header shows

const places = []; // to go back to: {isGrid, filters, page, id}; none before the last choice of filters

function placeNow() {
  const here = state.grid ? focusedCard() : state.view.row;
  return { isGrid: state.grid, filters: new Map(filters), page: idsShown(), id: here ? here.id : null };
}

const lastPlace = () => places[places.length - 1];

function setFilters(wanted) {
  filters.clear();
  for (const [name, value] of wanted) filters.set(name, value);
  state.ahead = null;
  state.visited = [];
  showFilters();
  countAgain();
}

async function goBack() {
  const { isGrid, filters: earlier, page, id } = places.pop();
  const here = !state.grid && state.view.row && page.includes(state.view.row.id) ? state.view.row.id : id;
  setFilters(earlier);
  show(isGrid);
  if (!isGrid) await open(id, { remember: false });
  else await load(page.length ? { ids: page.join(",") } : {}, here);
  await openOnes().catch(complain); // some of what was taken out may be judged now
  if (state.grid) showAll();
}

// Remember this place, and leave the grid for one photo or for the card of the end.
function leave() {
  places.push(placeNow());
  show(false);
}

// A click on a card, or `o`.
function openPhoto(id) {
  if (state.busy || !id) return;
  leave();
  open(id, { remember: false });
}

const openFocused = () => openPhoto(focusedCard() && focusedCard().id);

// From one photo to the grid that it is in: where it was left, if that page has the photo.
export function showGrid() {
  if (state.session.blind) {
    toast("A blind review shows one photo at a time.");
    return;
  }
  if (state.busy || state.grid || !state.view) return;
  const { row } = state.view;
  const last = lastPlace();
  if (last && last.isGrid && (filters.has("photos") || state.finished || !row || last.page.includes(row.id))) {
    goBack();
    return;
  }
  if (last && last.isGrid) places.pop(); // the photo is elsewhere by now
  show(true);
  load(row ? { at: row.id } : {}, row && row.id);
}

// Escape: back to where this was entered from; false where there is something in hand, or nothing to go back to.
export function back() {
  if (state.grid) {
    if (places.length) goBack();
    else openFocused();
    return true;
  }
  if (!places.length || drawing.drag || state.adding || (state.view.row && isInHand())) return false;
  goBack();
  return true;
}

function narrow(name, value) {
  places.push(placeNow());
  setFilters(new Map([[name, value]]));
}

// All photos of the individual that is shown, or has the focus.
export function showIndividual() {
  if (state.busy || state.session.blind) return;
  const here = state.grid ? focusedCard() : state.view.row;
  const name = state.grid ? here && here.individual : state.view.individual && state.view.individual.name;
  if (!name) toast("The labels name no individual for this photo.");
  else if (filters.get("individual") !== name || !state.grid) {
    narrow("individual", name);
    show(true);
    load({}, here.id);
  }
}

// What was taken out, one photo after the other.
async function lookAtTakenOut() {
  if (!mayGoOn()) return; // a second click
  try {
    const isLast = wish();
    const ids = await whileComing(openOnes);
    if (!isLast()) return;
    if (!ids.length) {
      showAll();
      return;
    }
    narrow("photos", ids.join(","));
    show(false);
    open(ids[0], { remember: false });
  } catch (error) {
    complain(error);
  }
}

// After the last photo of narrower filters: true where the place comes back at which they were entered.
function backFrom(name) {
  if (!filters.has(name) || !places.length) return false;
  goBack();
  return true;
}

export const backFromTakenOut = () => backFrom("photos");

function widen() {
  while (places.length && NARROWER.some((name) => lastPlace().filters.has(name))) places.pop();
  if (places.length) {
    goBack();
    return;
  }
  const here = state.grid ? focusedCard() : state.view.row;
  setFilters([...filters].filter(([name]) => !NARROWER.includes(name)));
  showNarrowed();
  if (state.grid) load(here ? { at: here.id } : {}, here && here.id);
  else open(here && here.id, { remember: false });
}

// The card of the end in place of the grid.
export function finishFromGrid() {
  leave();
  finish();
}

const KEYS = { ...CARD_KEYS, i: showIndividual, o: openFocused, g: openFocused, Escape: back, p: finishFromGrid };
const REPEATING = new Set(["ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp"]);

// True where a key is for the grid.
export function gridKey({ key, repeat }) {
  const action = KEYS[key] || KEYS[key.toLowerCase()];
  if (!action) return false;
  if (!repeat || REPEATING.has(key)) action();
  return true;
}

// After the page has shown its first photo: the grid that the address names.
export async function startGrid(page) {
  $("grid-button").hidden = state.session.blind;
  readTakenOut();
  showNarrowed();
  if (!page || state.session.blind || !state.view) return;
  show(true);
  await load({ from: page });
}

Object.assign(handlers, {
  opened: openPhoto,
  left: leave,
  ended: () => backFrom("individual"),
  opening: () => { if (state.grid) leave(); else showNarrowed(); },
  undoSeveral: () => {
    undoAcceptance(() => { if (places.length && lastPlace().isGrid) setFilters(places.pop().filters); });
  },
  filtered: () => {
    places.length = 0; // going back would undo the choice
    showNarrowed();
    if (state.grid) load({});
  },
});

const BUTTONS = {
  "grid-button": () => (state.grid ? openFocused() : showGrid()), "grid-accept": accept, "grid-undo": undoAcceptance,
  "grid-earlier": () => turn(false), "grid-later": () => turn(true), "grid-out": lookAtTakenOut,
  individual: showIndividual, widen,
};
for (const [id, action] of Object.entries(BUTTONS)) {
  $(id).addEventListener("click", (event) => {
    if (event.detail) $(id).blur(); // by mouse: keys go to the page again
    action();
  });
}
