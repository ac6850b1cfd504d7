// Moves from photo to photo, and hears of the verdicts of other tabs.
//
// A box in hand belongs to the person: whatever the server answers is shown once the mouse is let go, and then
// changes what is said of the photo, never the box. Who draws while the next photo is on its way stays.

import { inOrder, sameBoxes } from "./boxes.js";
import { isInHand, startAgain, startChoice, wordsOfGiven } from "./choice.js";
import { ask, query } from "./server.js";
import { $, filters, state } from "./state.js";
import { complain, isWell, toast } from "./telling.js";
import { addressOfPhoto, drawing, handlers, isFree, render, showCard, showPictures, whileComing, wish } from "./view.js";

// Show a photo, or where to begin; true when it is shown.
// Whoever has touched a box since `touched` was `since` stays where that box is.
export async function open(id, options) {
  if (id) handlers.opening();
  return whileComing(() => fetchAndShow(id, options));
}

async function fetchAndShow(id, { remember = true, since = state.touched } = {}) {
  const mine = ++state.ticket;
  const isLast = wish();
  const asked = id ? query({ at: id }) : query();
  let answer;
  try {
    const early = state.ahead && state.ahead.id === id && state.ahead.query === asked ? state.ahead.answer : null;
    const now = () => ask(`api/row?${asked}`);
    answer = await (early ? early.catch(now) : now());
  } catch (error) {
    await drawing.released();
    if (mine === state.ticket) complain(error);
    if (id && error.status === 404) state.drafts.forget(id); // a photo that is not in the run any more
    return false;
  }
  await drawing.released();
  if (mine !== state.ticket) return false;
  state.ahead = null;
  isWell();
  if (isLast()) showCard(false); // else it was asked for later
  const here = state.view && state.view.row;
  if (here && answer.row && isSamePhoto(answer.row, here)) {
    update(answer);
    return true;
  }
  if (here && state.touched !== since) {
    toast(`You were ${document.activeElement === $("note") ? "writing" : "drawing"}, so this photo stays.`);
    await refresh().catch(complain);
    return false;
  }
  if (remember && here && answer.row) state.visited.push(here.id);
  state.view = answer;
  for (const part of document.querySelectorAll("header, main")) part.inert = false;
  state.meanwhile = null;
  if (state.view.row && state.drafts.isOutdated(state.view.row)) {
    state.drafts.drop(state.view.row.id);
    toast("The photo is not the one you drew on: that box was dropped.");
  }
  state.edits = [];
  startAgain(state.view.row);
  keepPlace();
  showPictures(lookAhead);
  render();
  $("panel").scrollTop = 0;
  return true;
}

// Ask again what is said of the photo that is shown.
async function refresh() {
  const [id, mine] = [state.view && state.view.row && state.view.row.id, state.ticket];
  if (!id) return;
  const answer = await ask(`api/row?${query({ at: id })}`);
  await drawing.released();
  if (mine !== state.ticket || !state.view.row || state.view.row.id !== id) return;
  if (isSamePhoto(answer.row, state.view.row)) update(answer);
  else await whileComing(() => fetchAndShow(id, { remember: false }));
}

// A run can have found another photo under the same name: it is shown as any other one.
function isSamePhoto(row, other) {
  return row.id === other.id && row.photo === other.photo;
}

// News of the photo that is shown: a box in hand stays.
function update(answer) {
  const before = state.view.row.verdict;
  const draft = state.drafts.of(state.view.row);
  // It is taken, though the answer may have been lost, or by somebody else.
  const taken = answer.row.verdict ? inOrder(answer.row.verdict.boxes) : [];
  if (draft && sameBoxes(draft, taken)) state.drafts.drop(state.view.row.id);
  const held = isInHand();
  const differs = JSON.stringify(answer.row.verdict) !== JSON.stringify(before);
  state.view = answer;
  if (!held) {
    // What was picked to be looked at stays.
    if (JSON.stringify(state.chosen) !== JSON.stringify(startChoice(state.view.row))) startAgain(state.view.row);
  } else if (differs) state.meanwhile = state.view.row.verdict ? wordsOfGiven(state.view.row.verdict) : "taken back";
  keepPlace();
  render();
  if (state.picture !== "waiting" && !state.ahead) lookAhead();
  return differs;
}

function lookAhead() {
  if (!state.view.next) return;
  const asked = query({ at: state.view.next });
  const early = { id: state.view.next, query: asked, answer: ask(`api/row?${asked}`) };
  early.answer.then(
    ({ row }) => { if (row.may.includes("box")) new Image().src = addressOfPhoto(row); },
    () => { if (state.ahead === early) state.ahead = null; },
  );
  state.ahead = early;
}

export function step(forward) {
  if (state.busy || !state.view || !isFree()) return;
  if (forward) {
    if (state.view.next) open(state.view.next);
    else handlers.finish();
  } else if (state.view.previous) open(state.view.previous, { remember: false });
  else if (state.visited.length) open(state.visited.pop(), { remember: false });
  else toast("This is the first photo of these filters.");
}

// The address keeps the photo, the filters and the page of the grid, so that a reload comes back to them.
export function keepPlace() {
  const place = new URLSearchParams(filters);
  if (state.page) place.set("grid", state.page);
  if (state.view.row) place.set("at", state.view.row.id);
  history.replaceState(null, "", `#${place}`);
}

// Show the folder as the server has it now: after Apply, or when the run has gone on.
export async function renew() {
  state.session = await ask("api/session");
  state.seen = state.session.since;
  state.ahead = null;
  $("stale").hidden = true;
  handlers.renewed();
  if (!state.view) return;
  if (state.view.row) {
    try {
      await refresh();
      return;
    } catch (error) {
      if (error.status !== 404) throw error;
    }
  }
  if (!state.finished) await open(null, { remember: false });
}

// Verdicts of other tabs and people.
export async function poll() {
  if (state.busy || state.polling || !state.session || document.hidden || drawing.drag) return;
  state.polling = true;
  try {
    const news = await ask(`api/changes?since=${state.seen}`);
    await drawing.released();
    $("stale").hidden = !news.stale;
    if (state.offline) isWell();
    if (!state.view) {
      await open(null);
      return;
    }
    if (news.edition !== state.session.edition) {
      await renew();
      return;
    }
    if (news.changed.length || state.behind) await hear(news);
    state.seen = news.since; // else it is told again
  } catch (error) {
    await drawing.released();
    complain(error);
  } finally {
    state.polling = false;
  }
}

async function hear({ changed }) {
  const all = state.behind;
  state.behind = false;
  handlers.changed();
  state.ahead = null;
  await handlers.heard(changed, all);
  if (state.busy) state.behind = true; // a verdict is on its way: it is looked at afterwards
  if (state.busy || state.grid || !state.view.row) return;
  const before = JSON.stringify(state.view.row.verdict);
  const { id } = state.view.row;
  await refresh();
  if (state.view.row && state.view.row.id === id && JSON.stringify(state.view.row.verdict) !== before) {
    toast("Another tab has judged this photo.");
  }
}
