// The photos that were taken out of a grid, because their crops are not right, and that nobody has judged yet.
// They belong to the tab and outlive its reload.

import { ask } from "./server.js";
import { state } from "./state.js";

const MOST_AT_ONCE = 100;

let ids = new Set();
let place = "";

export function readTakenOut() {
  place = `detic-crop-taken-out:${state.session.id}`;
  try {
    ids = new Set((JSON.parse(sessionStorage.getItem(place)) || []).filter((id) => typeof id === "string"));
  } catch {
    ids = new Set(); // none, not ours, or a browser that keeps nothing
  }
}

function keep() {
  try {
    sessionStorage.setItem(place, JSON.stringify([...ids]));
  } catch {
    // They still live as long as the page does.
  }
}

export function isOut(id) {
  return ids.has(id);
}

export function countOut() {
  return ids.size;
}

export function takeOut(id, isOutNow) {
  if (isOutNow) ids.add(id);
  else ids.delete(id);
  keep();
}

// What the server says of photos: those with a verdict are taken out no longer.
export function forgetJudged(cards) {
  const judged = cards.filter((card) => card.verdict && ids.has(card.id));
  for (const { id } of judged) ids.delete(id);
  if (judged.length) keep();
}

// The first of them that nobody has judged yet.
export async function openOnes() {
  const asked = [...ids].slice(0, MOST_AT_ONCE);
  if (!asked.length) return [];
  const { cards } = await ask(`api/grid?${new URLSearchParams({ ids: asked.join(",") })}`);
  forgetJudged(cards);
  return cards.filter((card) => !card.verdict).map((card) => card.id);
}
