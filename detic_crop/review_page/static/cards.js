// The cards of the grid: how one looks, and how many stand side by side.

import { wordsOfGiven } from "./choice.js";
import { $, state } from "./state.js";
import { isOut } from "./taken_out.js";

const SMALLEST = 120; // px, side of a picture
const USUAL = 190; // px, where not all fit the window
const LARGEST = 300;
const NARROW = 560; // px, a telephone's window
const NOT_SHOWN = "its crop cannot be shown";
const SIGNS = { accepted: "✓", rejected: "✕", unsure: "?", box: "▢", whole: "▣" };

export const elements = new Map(); // id → element

// What Enter makes of a card: "accept", "out", "said" where there is a verdict, "draft", or "not" with a reason.
export function fateOf(card) {
  if (card.verdict) return "said";
  if (card.why) return "not";
  if (state.drafts.has(card.id)) return "draft";
  return isOut(card.id) ? "out" : "accept";
}

function wordsOfFate(card) {
  switch (fateOf(card)) {
    case "said": return `${SIGNS[card.verdict.verdict] || ""} ${wordsOfGiven(card.verdict)}`;
    case "not": return card.crops.length ? `stays: ${card.why}` : card.why;
    case "draft": return "✎ drawn or noted, not saved yet";
    case "out": return "✕ taken out";
    default: return "";
  }
}

// handlers: opened(id) where a card is clicked, toggled(id) where it is taken out or put back, broken(id) where its
// picture cannot be shown.
export function showCards(cards, handlers) {
  elements.clear();
  for (const card of cards) elements.set(card.id, cardElement(card, handlers));
  arrange();
}

// Show again what is said of the same cards.
export function updateCards(cards) {
  for (const card of cards) {
    const element = elements.get(card.id);
    if (element.dataset.broken) card.why ||= NOT_SHOWN;
    showFate(element, card);
  }
}

function cardElement(card, { opened, toggled, broken }) {
  const element = document.createElement("div");
  element.className = "card";
  element.dataset.id = card.id;
  element.setAttribute("role", "gridcell");
  element.tabIndex = -1;
  element.title = [card.image, factsOf(card), card.what, ...card.flags.map(([name, rule]) => `${name}: ${rule}`)].filter(Boolean).join("\n");
  const toggle = document.createElement("button");
  toggle.type = "button";
  toggle.className = "toggle";
  toggle.tabIndex = -1;
  toggle.addEventListener("click", (event) => { event.stopPropagation(); toggled(card.id); });
  const fate = part("p", "fate", "");
  const square = pictureOf(card, element, () => {
    element.dataset.broken = "yes";
    broken(card.id);
  });
  element.append(square, toggle, fate, part("p", "file", nameOf(card)), part("p", "facts", factsOf(card)));
  if (card.what) square.append(part("p", "what", card.what));
  element.append(part("p", "flags", card.flags.map(([name]) => name).join(", ")));
  element.addEventListener("click", () => opened(card.id));
  showFate(element, card);
  return element;
}

function part(kind, name, words) {
  const made = document.createElement(kind);
  made.className = name;
  made.textContent = words;
  return made;
}

function nameOf(card) {
  return card.image.slice(card.image.lastIndexOf("/") + 1);
}

function factsOf(card) {
  const score = card.score === null ? "" : card.score.toFixed(2);
  const labels = card.labels.slice(0, 3).map(([, value]) => value);
  return [score, ...labels, card.class].filter(Boolean).join(" · "); // the class is mostly the same
}

// A square with the crop, or with those of all animals; it is seen once all of them are there.
function pictureOf(card, element, broken) {
  const square = part("div", "crops", card.crops.length ? "" : "no crop");
  const side = Math.ceil(Math.sqrt(card.crops.length || 1));
  square.style.gridTemplateColumns = `repeat(${side}, minmax(0, 1fr))`;
  let missing = card.crops.length;
  for (const number of card.crops) {
    const image = document.createElement("img");
    image.alt = "";
    image.loading = "lazy";
    image.decoding = "async";
    image.draggable = false;
    image.addEventListener("load", () => {
      missing -= 1;
      if (!missing) element.dataset.loaded = "yes";
    });
    image.addEventListener("error", broken);
    image.src = `thumb/${card.id}/${number}?${new URLSearchParams({ v: card.version })}`;
    square.append(image);
  }
  return square;
}

function showFate(element, card) {
  const fate = fateOf(card);
  const words = wordsOfFate(card);
  element.dataset.fate = fate;
  if (card.verdict) element.dataset.verdict = card.verdict.verdict;
  else delete element.dataset.verdict;
  element.querySelector(".fate").textContent = words;
  element.setAttribute("aria-selected", String(fate === "accept"));
  const flags = card.flags.map(([name]) => name).join(", ");
  const said = [card.image, words || "will be accepted", card.what, flags];
  element.setAttribute("aria-label", said.filter(Boolean).join("; "));
  const toggle = element.querySelector(".toggle");
  const isOutNow = fate === "out";
  toggle.hidden = !["out", "accept"].includes(fate);
  toggle.textContent = isOutNow ? "↺" : "✕";
  toggle.setAttribute("aria-label", `${isOutNow ? "Put back" : "Take out"} ${nameOf(card)}`);
  toggle.title = isOutNow ? "Put back (space)" : "Not right: take it out (space)";
}

// ------------------------------------------------------------ how many side by side

let columns = 1;
let asked = 0; // columns that the person asked for; 0: as many as fit
export const columnCount = () => columns;

// As large as they can be with all of them in the window; else of a usual size, and the grid scrolls.
function columnsFor(count, width, height) {
  const gap = 8;
  const words = 58; // px below a picture
  if (width < NARROW) return 2;
  const sideOf = (across) => (width - gap * (across - 1)) / across;
  const most = Math.floor((width + gap) / (SMALLEST + gap));
  for (let across = Math.max(2, Math.ceil(width / LARGEST)); across <= most; across += 1) {
    const down = Math.ceil(count / across);
    if (down * (sideOf(across) + words + gap) <= height) return across;
  }
  return Math.max(2, Math.floor((width + gap) / (USUAL + gap)));
}

// Larger crops (1), smaller ones (-1), or those that fit (0).
export function resize(by) {
  asked = by && Math.min(Math.max(columns - by, 1), Math.max(2, Math.floor($("cards").clientWidth / SMALLEST)));
  arrange();
  if (document.activeElement) document.activeElement.scrollIntoView({ block: "nearest" });
}

export function arrange() {
  const room = $("cards");
  const focused = document.activeElement;
  columns = asked || columnsFor(Math.max(elements.size, 12), room.clientWidth, room.clientHeight);
  room.style.setProperty("--columns", columns);
  const rows = [];
  for (const element of elements.values()) {
    if (!rows.length || rows[rows.length - 1].childElementCount === columns) {
      rows.push(part("div", "row", ""));
      rows[rows.length - 1].setAttribute("role", "row");
    }
    rows[rows.length - 1].append(element);
  }
  room.replaceChildren(...rows);
  if (elements.size && room.contains(focused)) focused.focus({ preventScroll: true });
}
