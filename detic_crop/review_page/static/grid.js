// Many crops at once: what is not right is taken out, the others are accepted with one key.
//
// The grid shows the photos of the filters, in their order. Narrower filters, of one individual or of what was
// taken out, are left again for the place where they were entered.

import { arrange, columnCount, elements, fateOf, showCards, updateCards } from "./cards.js";
import { isInHand } from "./choice.js";
import { countAgain, showFilters } from "./finding.js";
import { finish } from "./finish.js";
import { keepPlace, open } from "./moving.js";
import { ask, query } from "./server.js";
import { $, filters, state } from "./state.js";
import { countOut, forgetJudged, isOut, openOnes, readTakenOut, takeOut } from "./taken_out.js";
import { complain, drawing, handlers, markBusy, render, showCard, toast } from "./view.js";

let cards = []; // of this page, as the server describes them
let before = 0; // photos of the filters before this page
let total = 0;
let focused = 0; // place of the card with the focus
let ticket = 0; // number of the page that was asked for last
const acceptances = []; // of this tab, for undo: {page, written: [[id, seen]]}
const places = []; // to go back to: {isGrid, filters, page, id}
const seen = new Set(); // ids of cards that were in the window

function show(isShown) {
  state.grid = isShown;
  showCard(false);
  $("grid").hidden = !isShown;
  document.querySelector("main").hidden = isShown;
  $("grid-button").setAttribute("aria-pressed", String(isShown));
  if (isShown) {
    seen.clear();
    document.title = "Grid – detic-crop review";
  } else {
    cards = [];
    elements.clear();
    $("cards").replaceChildren();
    state.page = null;
  }
  showNarrowed();
}

// ------------------------------------------------------------ pages

// Show a page of cards; false where there is none, and what is shown stays.
async function load(asked, id = null) {
  const mine = ++ticket;
  state.pending += 1;
  markBusy();
  try {
    const answer = await ask(`api/grid?${query(asked)}`);
    if (mine !== ticket) return true;
    $("error").hidden = true;
    if (!answer.cards.length && cards.length) return false;
    ({ cards, before, total } = answer);
    forgetJudged(cards);
    showProgress(answer);
    seen.clear();
    showCards(cards, { opened: openPhoto, toggled: toggle });
    watcher.disconnect();
    for (const element of elements.values()) watcher.observe(element);
    state.page = cards.length ? cards[0].id : null;
    keepPlace();
    $("cards").scrollTop = 0;
    focusOn(Math.max(0, cards.findIndex((card) => card.id === id)));
    showAll();
    return true;
  } catch (error) {
    complain(error);
    return true;
  } finally {
    state.pending -= 1;
    markBusy();
  }
}

function showAll() {
  const count = (number) => number.toLocaleString("en");
  const last = before + cards.length;
  $("grid-title").textContent = cards.length
    ? `${count(before + 1)}–${count(last)} of ${count(total)}`
    : "No photo fits these filters.";
  const accepted = cards.filter((card) => fateOf(card) === "accept").length;
  const out = cards.filter((card) => fateOf(card) === "out").length;
  const idle = last < total ? "Nothing to accept: go on" : "Nothing left to accept here";
  $("grid-accept-label").textContent = accepted ? `Accept ${out ? "the other " : ""}${accepted}` : idle;
  $("grid-accept").disabled = !accepted && last >= total;
  $("grid-earlier").disabled = !before;
  $("grid-later").disabled = last >= total;
  $("grid-undo").disabled = !acceptances.length;
  $("grid-out").hidden = !countOut();
  $("grid-out").textContent = `${count(countOut())} taken out: look at ${countOut() === 1 ? "it" : "them"}`;
}

// In the header, as beside one photo.
function showProgress({ reviewed, unsure, total: count, all }) {
  Object.assign(state.view, { reviewed, unsure, total: count, all });
  render();
}

async function turn(forward) {
  if (state.busy || !cards.length) return;
  const isThere = await load(forward ? { after: cards[cards.length - 1].id } : { before: cards[0].id });
  if (!isThere) toast(forward ? "These are the last photos of these filters." : "These are the first photos of these filters.");
}

// The same cards, as they are now.
async function refresh() {
  if (!cards.length || state.busy) return;
  const mine = ticket;
  const ids = cards.map((card) => card.id);
  const answer = await ask(`api/grid?${query({ ids: ids.join(",") })}`);
  if (mine !== ticket || !state.grid) return;
  ({ cards, before, total } = answer);
  forgetJudged(cards);
  showProgress(answer);
  updateCards(cards);
  showAll();
}

// ------------------------------------------------------------ focus

function focusOn(place) {
  if (!cards.length) return;
  focused = Math.min(Math.max(place, 0), cards.length - 1);
  for (const element of elements.values()) element.tabIndex = -1;
  const element = elements.get(cards[focused].id);
  element.tabIndex = 0;
  element.focus({ preventScroll: true });
  element.scrollIntoView({ block: "nearest" });
}

// What was in the window, with its pictures.
const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting) seen.add(target.dataset.id);
}, { threshold: 0.6 });

function isBroken(id) {
  return Boolean(elements.get(id).dataset.broken);
}

// ------------------------------------------------------------ what is said

function toggle(id) {
  const card = cards.find((other) => other.id === id);
  const place = cards.indexOf(card);
  const fate = fateOf(card);
  focusOn(place);
  if (!["out", "accept"].includes(fate)) {
    toast(fate === "said" ? "It has a verdict already; open it (o) to change that." : "It is not accepted here anyway; open it (o) to judge it.");
    return;
  }
  takeOut(id, fate === "accept");
  updateCards([card]);
  showAll();
}

async function accept() {
  if (state.busy || state.pending || !cards.length) return;
  const chosen = cards.filter((card) => fateOf(card) === "accept" && !isBroken(card.id));
  const unseen = chosen.filter((card) => !seen.has(card.id));
  if (unseen.length) {
    elements.get(unseen[0].id).scrollIntoView({ block: "start" });
    focusOn(cards.indexOf(unseen[0]));
    toast(`${unseen.length} further down you have not seen yet.`);
    return;
  }
  if (chosen.some((card) => !elements.get(card.id).dataset.loaded)) {
    toast("Some pictures are not here yet.");
    return;
  }
  const words = chosen.length ? await send(chosen.map((card) => ({ id: card.id, verdict: "accepted", seen: card.seen }))) : "";
  if (words === null) return;
  if (words) toast(words);
  if (await load({ after: cards[cards.length - 1].id })) return;
  if (!countOut()) {
    show(false);
    await finish();
    return;
  }
  await refresh().catch(complain);
  toast(`${words} That was the last page: look at what you took out.`.trim());
}

// What was done, once the verdicts are on disk; else null.
async function send(verdicts) {
  const page = cards.map((card) => card.id);
  const out = cards.filter((card) => fateOf(card) === "out").length;
  try {
    const { written, refused } = await post(verdicts);
    if (written.length) acceptances.push({ page, written });
    const words = [`${written.length} accepted`, `${out} taken out`];
    if (refused.length) words.push(`${refused.length} refused (${nameOf(refused[0][0])}: ${refused[0][1]})`);
    return `${words.join(", ")}; u takes it back.`;
  } catch (error) {
    complain(error);
    $("error").textContent = `Not saved. ${$("error").textContent}`;
    return null;
  }
}

async function post(verdicts) {
  state.busy = true;
  markBusy();
  try {
    const headers = { "Content-Type": "application/json" };
    const answer = await ask(`api/verdicts?${query()}`, { method: "POST", headers, body: JSON.stringify({ verdicts }) });
    state.ahead = null;
    $("error").hidden = true;
    handlers.changed();
    return answer;
  } finally {
    state.busy = false;
    markBusy();
  }
}

function nameOf(id) {
  const card = cards.find((other) => other.id === id);
  return card ? card.image : "a photo";
}

export async function undoAcceptance() {
  if (state.busy) return;
  const last = acceptances[acceptances.length - 1];
  if (!last) {
    toast("There is no acceptance of this tab to take back.");
    return;
  }
  try {
    const { written, refused } = await post(last.written.map(([id, stamp]) => ({ id, verdict: "undone", seen: stamp })));
    acceptances.pop();
    await load({ ids: last.page.join(",") });
    const stay = refused.length ? `; ${refused.length} stay, for they were judged again since` : "";
    toast(`${written.length} taken back${stay}.`);
  } catch (error) {
    complain(error);
    $("error").textContent = `Not saved. ${$("error").textContent}`;
  }
}

// ------------------------------------------------------------ from place to place

function placeNow() {
  const id = state.grid ? cards[focused] && cards[focused].id : state.view.row && state.view.row.id;
  return { isGrid: state.grid, filters: new Map(filters), page: cards.map((card) => card.id), id };
}

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
  setFilters(earlier);
  show(isGrid);
  if (!isGrid) await open(id, { remember: false });
  else if (page.length) await load({ ids: page.join(",") }, id);
  else await load({});
  if (isGrid && (await openOnes().catch(() => null))) showAll();
}

// A click on a card, or `o`.
function openPhoto(id) {
  if (state.busy || !id) return;
  places.push(placeNow());
  open(id, { remember: false }); // `handlers.opening` hides the grid
}

// From one photo to the grid it is in, at the place where it was left.
export function showGrid() {
  if (state.session.blind) {
    toast("A blind review shows one photo at a time.");
    return;
  }
  if (state.busy || state.grid || !state.view) return;
  const last = places[places.length - 1];
  if (last && last.isGrid) {
    goBack();
    return;
  }
  const { row } = state.view;
  show(true);
  load(row ? { at: row.id } : {}, row && row.id);
}

// From the grid to the photo with the focus.
async function leave() {
  const card = cards[focused];
  show(false);
  await open(card ? card.id : null, { remember: false });
}

// Escape, where there is nothing in hand: back to where this was entered from. False where it is not for us.
export function back() {
  if (state.grid) {
    if (places.length) goBack();
    else leave();
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
  const card = cards[focused];
  const name = state.grid ? card && card.individual : state.view.individual && state.view.individual.name;
  if (!name) {
    toast("The labels name no individual for this photo.");
    return;
  }
  if (filters.get("individual") === name && state.grid) return;
  narrow("individual", name);
  const id = state.grid ? card.id : state.view.row.id;
  show(true);
  load({}, id);
  openOnes().then(showAll, complain); // a verdict may have been given since
}

// What was taken out, one photo after the other.
async function lookAtTakenOut() {
  try {
    const ids = await openOnes();
    showAll();
    if (!ids.length) return;
    narrow("photos", ids.join(","));
    open(ids[0], { remember: false });
  } catch (error) {
    complain(error);
  }
}

// Which photos are shown only, and how to see all again.
function showNarrowed() {
  const individual = filters.get("individual");
  const photos = filters.get("photos");
  $("narrowed").hidden = !individual && !photos;
  if (individual) $("narrowed-words").textContent = `All photos of ${individual}: another animal among them stands out.`;
  else if (photos) $("narrowed-words").textContent = "The photos that you took out, one after the other.";
}

function widen() {
  while (places.length && ["individual", "photos"].some((name) => places[places.length - 1].filters.has(name))) places.pop();
  if (places.length) {
    goBack();
    return;
  }
  const at = state.grid && cards[focused] ? cards[focused].id : state.view.row && state.view.row.id;
  setFilters([...filters].filter(([name]) => !["individual", "photos"].includes(name)));
  if (state.grid) load({ at }, at);
  else open(at, { remember: false });
  showNarrowed();
}

// ------------------------------------------------------------ keys and buttons

const KEYS = {
  ArrowRight: () => focusOn(focused + 1), ArrowLeft: () => focusOn(focused - 1),
  ArrowDown: () => focusOn(focused + columnCount()), ArrowUp: () => focusOn(focused - columnCount()),
  Home: () => focusOn(0), End: () => focusOn(cards.length - 1),
  " ": () => cards.length && toggle(cards[focused].id),
  Enter: accept, a: accept, u: undoAcceptance, i: showIndividual, g: leave,
  o: () => cards.length && openPhoto(cards[focused].id),
  PageDown: () => turn(true), PageUp: () => turn(false),
};
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
  if (!page || state.session.blind) return;
  show(true);
  await load({ from: page });
}

// A photo is about to be shown.
export function leaveGrid() {
  if (state.grid) show(false);
  else showNarrowed();
}

// Others have judged these photos, or this tab has, on the page of one photo.
export function heard(ids) {
  if (state.grid && ids.some((id) => elements.has(id))) refresh().catch(complain);
  if (ids.some(isOut)) openOnes().then(() => state.grid && showAll(), complain);
}

// The server has opened the folder anew.
export function renewGrid() {
  if (!state.grid) return;
  refresh().catch((error) => (error.status === 404 ? load({}) : complain(error)));
}

// Other filters were chosen.
export function filtered() {
  showNarrowed();
  if (state.grid) load({});
}

// After the last of the photos that were taken out: true where the grid comes back.
export function backFromTakenOut() {
  const last = places[places.length - 1];
  if (!filters.has("photos") || !last || !last.isGrid) return false;
  goBack();
  return true;
}

const BUTTONS = {
  "grid-button": () => (state.grid ? leave() : showGrid()), "grid-accept": accept, "grid-undo": undoAcceptance,
  "grid-earlier": () => turn(false), "grid-later": () => turn(true), "grid-out": lookAtTakenOut,
  individual: showIndividual, widen,
};
for (const [id, action] of Object.entries(BUTTONS)) {
  $(id).addEventListener("click", (event) => {
    if (event.detail) $(id).blur(); // by mouse: keys go to the page again
    action();
  });
}
new ResizeObserver(() => { if (state.grid) arrange(); }).observe($("cards"));
