// A page of many crops: what is not right is taken out, the others are accepted with one key.
//
// It shows the photos of the filters, in their order. A page stays as it is until another one is asked for: what is
// judged meanwhile is marked, and does not leave it.

import { arrange, columnCount, elements, fateOf, resize, showCards, updateCards } from "./cards.js";
import { finish } from "./finish.js";
import { keepPlace } from "./moving.js";
import { noteSeveral } from "./pace.js";
import { numeral } from "./progress.js";
import { ask, query } from "./server.js";
import { $, filters, state } from "./state.js";
import { countOut, forgetJudged, isOut, openOnes, takeOut } from "./taken_out.js";
import { complain, isWell, saving, showTitle, toast } from "./telling.js";
import { handlers, isTyping, markBusy, mayGoOn, render, showCard, whileComing, wish } from "./view.js";

let cards = []; // as the server describes them
let before = 0; // photos of the filters before this page
let after = 0; // and after it
let total = 0;
let focused = 0; // place of the card with the focus
let ticket = 0; // number of the page that was asked for last
let shownFilters = ""; // those of these cards, as a query
let isMissing = false; // the cards of these filters could not be fetched
let refreshing = 0; // number of the news of these cards that were asked for last
let shownAt = 0; // when this page came, in ms
const seen = new Set(); // ids of cards that were in the window

export const focusedCard = () => cards[focused];
export const idsShown = () => cards.map((card) => card.id);

export function show(isShown) {
  wish();
  state.grid = isShown;
  showCard(false);
  $("grid").hidden = !isShown;
  document.querySelector("main").hidden = isShown;
  $("grid-button").setAttribute("aria-pressed", String(isShown));
  seen.clear();
  showTitle();
  if (isShown) state.ticket += 1; // so does a photo
  else {
    ticket += 1; // a page that is still on its way comes too late
    cards = [];
    elements.clear();
    $("cards").replaceChildren();
    state.page = null;
  }
  showNarrowed();
}

// Which photos are shown only, whatever the filters in the header are.
export function showNarrowed() {
  const individual = filters.get("individual");
  $("narrowed").hidden = !individual && !filters.has("photos");
  $("narrowed-words").textContent = individual
    ? `All photos of ${individual}, side by side: take out those that show another animal.`
    : "The photos that you took out, one after the other.";
}

// ------------------------------------------------------------ pages

// Show a page of cards, with the focus on one of them; false where there is no such page, and this one stays.
export function load(asked, id = null) {
  return whileComing(() => fetchPage(asked, id));
}

async function fetchPage(asked, id) {
  const mine = ++ticket;
  const filtered = query();
  wish();
  try {
    const answer = await ask(`api/grid?${query(asked)}`);
    if (mine !== ticket) return true;
    isWell();
    if (!answer.cards.length && (asked.after || asked.before)) return false;
    shownFilters = filtered;
    take(answer);
    layOut();
    shownAt = performance.now();
    state.page = cards.length ? cards[0].id : null;
    keepPlace();
    $("cards").scrollTop = 0;
    focusOn(Math.max(0, cards.findIndex((card) => card.id === id)));
    showAll();
  } catch (error) {
    if (mine !== ticket) return true;
    complain(error);
    if (!cards.length || filtered !== shownFilters) showNone();
  }
  return true;
}

function layOut() {
  showCards(cards, { opened: handlers.opened, toggled: toggle, broken: showBroken });
  seen.clear();
  watcher.disconnect();
  for (const element of elements.values()) watcher.observe(element);
}

function showBroken(id) {
  updateCards(cards.filter((card) => card.id === id));
  showAll();
}

// The cards before are of other filters.
function showNone() {
  [cards, before, after, total, isMissing] = [[], 0, 0, 0, true];
  layOut();
  showAll();
}

// The same cards, as they are now.
export async function refresh() {
  if (!cards.length || state.busy) return;
  const [page, mine] = [ticket, ++refreshing];
  const answer = await ask(`api/grid?${query({ ids: idsShown().join(",") })}`);
  if (page !== ticket || mine !== refreshing || !state.grid) return;
  const isOther = answer.cards.some(({ version }, place) => version !== cards[place].version);
  take(answer);
  if (isOther) { // other crops of the same photos: they must be seen, too
    layOut();
    focusOn(focused);
  } else updateCards(cards);
  showAll();
}

function take(answer) {
  ({ cards, before, after, total } = answer);
  isMissing = false;
  forgetJudged(cards);
  takeProgress(answer);
}

// The header says how far the review is.
function takeProgress({ reviewed, unsure, total: inFilters, all }) {
  Object.assign(state.view, { reviewed, unsure, total: inFilters, all });
  render();
}

export function showAll() {
  $("grid-title").textContent = titleOf();
  const isLast = !after;
  $("grid-accept-label").textContent = wordsOfAccept(isLast);
  $("grid-accept").disabled = isLast && !countOf("accept") && countOut() > 0;
  $("grid-earlier").disabled = !before;
  $("grid-later").disabled = isLast;
  $("grid-undo").disabled = !state.given.some((given) => given.written);
  $("grid-out").hidden = !countOut();
  $("grid-out").textContent = `${numeral(countOut())} taken out: look at ${countOut() === 1 ? "it" : "them"}`;
}

// What was judged meanwhile may be in the filters no longer, but stays on its page.
function titleOf() {
  if (isMissing) return "The photos of these filters could not be fetched.";
  if (!cards.length) return "No photo fits these filters.";
  const still = total - before - after;
  if (still === cards.length) return `${numeral(before + 1)}–${numeral(total - after)} of ${numeral(total)}`;
  return `${numeral(still)} of these ${numeral(cards.length)} still in the filters, of ${numeral(total)}`;
}

const countOf = (fate) => cards.filter((card) => fateOf(card) === fate).length;

function wordsOfAccept(isLast) {
  const count = countOf("accept");
  const below = unseen().length;
  if (below) return `${below} more below ↓`;
  if (!count) return isLast && countOut() ? "Nothing left to accept here" : "Nothing to accept: go on";
  return countOf("out") ? `Accept the other ${count}` : `Accept ${count}`;
}

export async function turn(forward) {
  if (!mayGoOn() || !cards.length) return;
  if (await load(forward ? { after: cards[cards.length - 1].id } : { before: cards[0].id })) return;
  toast(forward ? "These are the last photos of these filters." : "These are the first photos of these filters.");
}

// ------------------------------------------------------------ focus, and what was seen

export function focusOn(place) {
  if (!cards.length) return;
  focused = Math.min(Math.max(place, 0), cards.length - 1);
  for (const element of elements.values()) element.tabIndex = -1;
  const element = elements.get(cards[focused].id);
  element.tabIndex = 0;
  if (!isTyping()) element.focus({ preventScroll: true });
  element.scrollIntoView({ block: "nearest" });
}

const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting) seen.add(target.dataset.id);
  if (state.grid) showAll();
}, { threshold: 0.6 });

// Of those that are accepted: nobody accepts what was never in the window.
function unseen() {
  return cards.filter((card) => fateOf(card) === "accept" && !seen.has(card.id));
}

// ------------------------------------------------------------ what is said

export function toggle(id) {
  if (state.busy) { // it may be among those that are being accepted
    mayGoOn();
    return;
  }
  const card = cards.find((other) => other.id === id);
  const fate = fateOf(card);
  focusOn(cards.indexOf(card));
  if (fate === "accept" || fate === "out") {
    takeOut(id, fate === "accept");
    updateCards([card]);
    showAll();
  } else if (fate === "said") toast("It has a verdict already; open it (o) to change that.");
  else toast("It is not accepted here anyway; open it (o) to judge it.");
}

export async function accept() {
  if (!mayGoOn() || !cards.length) return;
  const below = unseen();
  const chosen = cards.filter((card) => fateOf(card) === "accept");
  if (below.length) {
    elements.get(below[0].id).scrollIntoView({ block: "start" });
    focusOn(cards.indexOf(below[0]));
  } else if (chosen.some((card) => !elements.get(card.id).dataset.loaded)) toast("Some pictures are not here yet.");
  else if (!chosen.length) await goOn("");
  else await acceptAll(chosen);
}

async function acceptAll(chosen) {
  const isLast = wish(false);
  const page = idsShown();
  const out = countOf("out");
  const answer = await post(chosen.map((card) => ({ id: card.id, verdict: "accepted", seen: card.seen })));
  if (!answer) return;
  const { written, refused } = answer;
  if (written.length) state.given.push({ page, written });
  noteSeveral(written.length, shownAt);
  const words = [`${written.length} accepted`, `${out} taken out`];
  if (refused.length) {
    const [id, why] = refused[0];
    words.push(`${refused.length} refused (${chosen.find((card) => card.id === id).image}: ${why})`);
  }
  const said = `${words.join(", ")}; u takes it back.`;
  toast(said);
  if (isLast()) await goOn(said);
}

// The next page; after the last one the place where narrower filters were entered, what was taken out, or the card of
// the end.
async function goOn(words) {
  if (await load({ after: cards[cards.length - 1].id }) || handlers.ended()) return;
  if (countOut()) {
    await refresh().catch(complain);
    toast(`${words} That was the last page: look at what you took out.`.trim());
  } else {
    handlers.left();
    await finish();
  }
}

// What the server answers once all of it is on disk; else null.
async function post(verdicts) {
  state.busy = true;
  markBusy();
  const { lost, saved } = saving();
  try {
    const headers = { "Content-Type": "application/json" };
    const filtered = query();
    const answer = await ask(`api/verdicts?${filtered}`, { method: "POST", headers, body: JSON.stringify({ verdicts }) });
    state.ahead = null;
    saved();
    if (filtered === query()) takeProgress(answer);
    handlers.changed();
    return answer;
  } catch (error) {
    lost(error);
    return null;
  } finally {
    state.busy = false;
    markBusy();
  }
}

// Take back the last acceptance of this tab, and show its page.
// comeBack: goes back to the filters of the grid, where it was left.
export async function undoAcceptance(comeBack = () => {}) {
  if (!mayGoOn()) return;
  const last = state.given.findLast((given) => given.written);
  if (!last) {
    toast("There is no acceptance of this tab to take back.");
    return;
  }
  const isLast = wish(false);
  const answer = await post(last.written.map(([id, stamp]) => ({ id, verdict: "undone", seen: stamp })));
  if (!answer) return;
  state.given.splice(state.given.indexOf(last), 1);
  if (isLast()) {
    if (!state.grid) {
      comeBack();
      show(true);
    }
    await load({ ids: last.page.join(",") });
  }
  const { written, refused } = answer;
  const stay = refused.length ? `; ${refused.length} stay, for they were judged again since` : "";
  toast(`${written.length} taken back${stay}.`);
}

// ------------------------------------------------------------ news

// Others have judged these photos, or this tab has, beside one photo; all: whatever is shown may be old.
export async function heard(ids, all) {
  if (state.grid && isMissing) await load({});
  else if (state.grid && (all || ids.some((id) => elements.has(id)))) await refresh();
  if (!ids.some(isOut)) return;
  await openOnes();
  if (state.grid) showAll();
}

// The server has opened the folder anew.
export function renewGrid() {
  if (state.grid) refresh().catch((error) => (error.status === 404 ? load({}) : complain(error)));
}

// ------------------------------------------------------------ keys

export const CARD_KEYS = {
  ArrowRight: () => focusOn(focused + 1), ArrowLeft: () => focusOn(focused - 1),
  ArrowDown: () => focusOn(focused + columnCount()), ArrowUp: () => focusOn(focused - columnCount()),
  Home: () => focusOn(0), End: () => focusOn(cards.length - 1),
  " ": () => cards.length && toggle(cards[focused].id), x: () => cards.length && toggle(cards[focused].id),
  Enter: accept, a: accept, u: undoAcceptance, PageDown: () => turn(true), PageUp: () => turn(false),
  "+": () => resize(1), "=": () => resize(1), "-": () => resize(-1), 0: () => resize(0),
};

new ResizeObserver(() => { if (state.grid) arrange(); }).observe($("cards"));
