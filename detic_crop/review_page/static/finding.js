// Filters the photos, and finds them by name.

import { open } from "./moving.js";
import { numeral } from "./progress.js";
import { ask, query } from "./server.js";
import { showSheet, showSheetCount } from "./sheet.js";
import { $, filters, state } from "./state.js";
import { complain, toast } from "./telling.js";
import { fill, handlers } from "./view.js";
import { VIEWPOINTS } from "./viewpoint.js";

const REVIEWED = [
  ["", "all photos"], ["no", "not reviewed"], ["yes", "reviewed"], ["unsure", "unsure"], ["note", "with a note"],
];

const OURS = ["reviewed", "flag", "status", "class", "sample", "viewpoint"];

const BY_VIEWPOINT = [["", "any viewpoint"], ...["none", ...VIEWPOINTS].map((name) => [name, `viewpoint: ${name}`])];

function addFilter(name, title, options) {
  const select = document.createElement("select");
  select.setAttribute("aria-label", title);
  select.title = title;
  select.dataset.filter = name;
  for (const [value, words, hint] of options) {
    const option = new Option(words, value);
    option.dataset.words = words;
    if (hint) option.title = hint;
    select.append(option);
  }
  select.value = filters.get(name) || "";
  // An address with a value that no photo has.
  if (select.selectedIndex < 0) filters.delete(name);
  select.addEventListener("change", () => {
    select.blur();
    filterBy({ ...Object.fromEntries(filters), [name]: select.value });
  });
  const clear = document.createElement("button");
  clear.type = "button";
  clear.className = "clear";
  clear.textContent = "×";
  clear.title = `clear: ${title}`;
  clear.setAttribute("aria-label", clear.title);
  clear.addEventListener("click", () => filterBy({ ...Object.fromEntries(filters), [name]: "" }));
  const item = document.createElement("span");
  item.className = "filter";
  item.append(select, clear);
  $("filters").append(item);
}

// Show the photos of these filters, name → value, and of no others.
export function filterBy(wanted) {
  filters.clear();
  for (const [name, value] of Object.entries(wanted)) if (value) filters.set(name, value);
  showFilters();
  countAgain();
  state.ahead = null;
  state.visited = [];
  handlers.filtered();
  return open(null, { remember: false });
}

// The filters as they are now, wherever they were changed.
export function showFilters() {
  for (const select of $("filters").querySelectorAll("select")) {
    select.value = filters.get(select.dataset.filter) || "";
    select.classList.toggle("on", Boolean(select.value));
    select.nextSibling.hidden = !select.value;
  }
  $("clear-filters").hidden = !filters.size;
  showSheetCount();
}

let counting = null; // the counts are on their way
let isOutdated = false; // and something has changed meanwhile

// Ask what each choice would show; what changes while the answer is on its way is asked once more.
export function countAgain() {
  isOutdated = true;
  if (!counting) counting = count().finally(() => { counting = null; });
}

async function count() {
  while (isOutdated) {
    isOutdated = false;
    const counts = await ask(`api/counts?${query()}`).catch(() => null);
    if (counts) showCounts(counts);
  }
}

// Of a choice: photos left to review / all of them.
function showCounts(counts) {
  for (const select of $("filters").querySelectorAll("select")) {
    const { filter } = select.dataset;
    for (const option of select.options) {
      const [left, all] = (counts[filter] || {})[option.value] || [];
      const isShown = all !== undefined && (option.value || filter === "reviewed");
      const words = filter === "reviewed" ? `(${numeral(all || 0)})` : `${numeral(left || 0)} / ${numeral(all || 0)}`;
      option.textContent = isShown ? `${option.dataset.words} ${words}` : option.dataset.words;
    }
  }
}

// A label column may have the name of a filter of ours.
function titleOf(filter) {
  const name = filter.replace(/^label:/, "");
  return name !== filter && OURS.includes(name.toLowerCase()) ? `label ${name}` : name;
}

export function addFilters() {
  $("filters").replaceChildren();
  addFilter("reviewed", "Reviewed or not", REVIEWED);
  for (const { filter, values } of state.session.choices) {
    if (values.length < 2 && filter !== "flag" && filter !== "sample") continue;
    const title = titleOf(filter);
    const options = values.map(([value, hint]) => [
      value, filter === "flag" ? hint.split(":")[0] : filter === "sample" ? "sample only" : value, hint,
    ]);
    // A label may be empty; an empty choice means all.
    addFilter(filter, title, [["", `any ${title}`], ...options.filter(([value]) => value)]);
  }
  if (!state.session.blind) addFilter("viewpoint", "Viewpoint", BY_VIEWPOINT);
  const clear = document.createElement("button");
  clear.type = "button";
  clear.id = "clear-filters";
  clear.textContent = "Clear";
  clear.title = "show all photos";
  clear.addEventListener("click", () => filterBy({}));
  $("filters").append(clear);
  showFilters();
  countAgain();
  showSheetCount();
}

let findTicket = 0;
let finding = Promise.resolve(); // what was typed last is being looked for
async function find() {
  const mine = ++findTicket;
  const text = $("find").value;
  let found = [];
  let isAnswered = true;
  try {
    if (text.trim()) found = await ask(`api/find?${new URLSearchParams({ q: text })}`);
  } catch (error) {
    isAnswered = false;
    complain(error);
  }
  if (mine !== findTicket) return;
  fill("found", found, ([id, image, note], i) => {
    const item = document.createElement("li");
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", String(i === 0));
    item.id = `found-${id}`;
    item.dataset.id = id;
    item.textContent = `${state.drafts.has(id) ? "✎ " : ""}${image}${note ? ` — ${note}` : ""}`;
    item.addEventListener("pointerdown", (event) => { event.preventDefault(); jump(id); });
    return item;
  });
  showFound(found.length > 0 && document.activeElement === $("find")); // it may have been left meanwhile
  if (isAnswered && text.trim() && !found.length) toast("No photo has that in its name or note.");
}

function showFound(shown) {
  $("found").hidden = !shown;
  $("find").setAttribute("aria-expanded", String(shown));
  const active = $("found").querySelector('[aria-selected="true"]');
  if (shown && active) $("find").setAttribute("aria-activedescendant", active.id);
  else $("find").removeAttribute("aria-activedescendant");
}

function moveFound(by) {
  const items = [...$("found").children];
  const here = items.findIndex((item) => item.getAttribute("aria-selected") === "true");
  if (here < 0) return;
  items[here].setAttribute("aria-selected", "false");
  const now = items[(here + by + items.length) % items.length];
  now.setAttribute("aria-selected", "true");
  now.scrollIntoView({ block: "nearest" });
  showFound(true);
}

function jump(id) {
  findTicket += 1;
  $("find").value = "";
  $("found").replaceChildren();
  showFound(false);
  $("find").blur();
  showSheet(false);
  open(id);
}

// Enter means what was typed, not what an earlier letter found.
async function jumpToActive() {
  let waitedFor = null;
  while (waitedFor !== finding) {
    waitedFor = finding;
    await waitedFor;
  }
  const active = $("found").querySelector('[aria-selected="true"]');
  if (active && document.activeElement === $("find")) jump(active.dataset.id);
}

$("find").addEventListener("input", () => { finding = find(); });
$("find").addEventListener("blur", () => showFound(false));
$("find").addEventListener("keydown", (event) => {
  if (event.key === "Enter") jumpToActive();
  else if (event.key === "ArrowDown") moveFound(1);
  else if (event.key === "ArrowUp") moveFound(-1);
  else if (event.key === "Escape") $("find").blur();
  else return;
  event.preventDefault();
});
