// The review page: shows one photo, sends verdicts, moves on. Names and labels are only ever set as text.

import { cropRectangle, placeInSquare, sameBox } from "./boxes.js";
import { Drawing } from "./drawing.js";

const $ = (id) => document.getElementById(id);
const POLL_MS = 2000;
const TOAST_MS = 3500;

let session = null; // what /api/session said
let view = null; // what /api/row said: row, position, total, reviewed, next, previous
let chosen = null; // what Enter takes: {kind: "own" | "whole" | "box", box, candidate}
let ahead = null; // the next photo, fetched early: {id, query, answer}
let visited = []; // ids before this one; "not reviewed" leaves no other way back
let given = []; // verdicts of this tab, for undo: {id, before}
let busy = false; // a verdict is on its way to the disk
let ticket = 0; // of the photo that was asked for last
let seen = 0; // changes noted so far
let offline = false; // the last complaint was that nobody answers

const filters = new Map(); // name → value
const drawing = new Drawing($("stage"), $("frame"), $("overlay"), {
  picked: (box) => choose(box),
  dragged: (box) => preview(box),
  dropped: () => render(),
});

// ---------------------------------------------------------------- talking to the server

async function ask(address, options) {
  const answer = await fetch(address, options);
  if (!answer.ok) throw new Error((await answer.text()).slice(0, 400) || `answer ${answer.status}`);
  return answer.json();
}

function query(extra) {
  return new URLSearchParams([...filters, ...Object.entries(extra || {})]).toString();
}

function complain(error) {
  offline = error instanceof TypeError; // what fetch says when nobody answers
  $("error").textContent = offline
    ? "The server does not answer; is `detic-crop review` still running?"
    : error.message;
  $("error").hidden = false;
}

// ---------------------------------------------------------------- moving

async function open(id, { remember = true } = {}) {
  const mine = ++ticket;
  const asked = id ? query({ at: id }) : query();
  let answer;
  try {
    const early = ahead && ahead.id === id && ahead.query === asked ? ahead.answer : null;
    answer = await (early || ask(`/api/row?${asked}`));
  } catch (error) {
    if (mine === ticket) complain(error);
    return;
  }
  if (mine !== ticket) return;
  if (remember && view && view.row && answer.row && view.row.id !== answer.row.id) visited.push(view.row.id);
  view = answer;
  ahead = null;
  chosen = view.row ? firstChoice(view.row) : null;
  $("error").hidden = true;
  keepPlace();
  showPictures(mine);
  render();
}

function lookAhead() {
  if (!view.next) return;
  const asked = query({ at: view.next });
  ahead = { id: view.next, query: asked, answer: ask(`/api/row?${asked}`) };
  ahead.answer.catch(() => { ahead = null; });
  new Image().src = `/photo/${view.next}`;
}

function step(forward) {
  if (busy || !view) return;
  if (forward) {
    if (view.next) open(view.next);
    else toast("This is the last photo of these filters.");
  } else if (view.previous) open(view.previous, { remember: false });
  else if (visited.length) open(visited.pop(), { remember: false });
  else toast("This is the first photo of these filters.");
}

// The address keeps the photo and the filters, so that a reload comes back to them.
function keepPlace() {
  const place = new URLSearchParams(filters);
  if (view.row) place.set("at", view.row.id);
  history.replaceState(null, "", `#${place}`);
}

// ---------------------------------------------------------------- what Enter takes

function own(row) {
  return row.detected ? { kind: "own", box: row.detected } : { kind: "own", box: null };
}

function firstChoice(row) {
  const verdict = row.verdict;
  if (verdict && verdict.verdict === "box") return { kind: "box", box: verdict.box };
  if (verdict && verdict.verdict === "whole") return { kind: "whole", box: null };
  return own(row);
}

function choose(box) {
  chosen = sameBox(box, view.row.detected) ? own(view.row) : { kind: "box", box };
  render();
}

function cycle(by) {
  const boxes = view.row.candidates.map((candidate) => candidate.box);
  if (!boxes.length) {
    toast("The detector kept no boxes of this photo: draw one.");
    return;
  }
  const here = boxes.findIndex((box) => sameBox(box, chosen.box));
  const start = here < 0 && by < 0 ? 0 : here;
  choose(boxes[(start + by + boxes.length) % boxes.length]);
}

function nameOf(box) {
  const index = view.row.candidates.findIndex((candidate) => sameBox(candidate.box, box));
  return index < 0 ? "drawn box" : `box ${index + 1}`;
}

function wordsOf(verdict) {
  if (verdict.verdict === "accepted") return "accepted";
  if (verdict.verdict === "whole") return "whole photo";
  if (verdict.verdict === "rejected") return "rejected: no crop";
  return nameOf(verdict.box);
}

// ---------------------------------------------------------------- verdicts

function take() {
  if (chosen.kind === "own") give("accepted");
  else if (chosen.kind === "whole") give("whole");
  else give("box", chosen.box);
}

async function give(verdict, box) {
  const row = view && view.row;
  if (busy || !row) return;
  const before = row.verdict;
  const same = before && before.verdict === verdict && (verdict !== "box" || sameBox(before.box, box));
  if (same) {
    step(true); // said already
    return;
  }
  if (!(await send(row.id, verdict, box))) return;
  if (filters.has("reviewed")) ahead = null; // this photo has left the filter or come into it
  given.push({ id: row.id, before });
  toast(`${row.image}: ${wordsOf({ verdict, box })} (u takes it back)`);
  if (view.next) open(view.next);
  else {
    await open(row.id);
    toast("That was the last photo of these filters.");
  }
}

async function undo() {
  if (busy || !view) return;
  const last = given[given.length - 1];
  const row = view.row;
  if (!last && !(row && row.verdict)) {
    toast("There is no verdict to take back.");
    return;
  }
  const id = last ? last.id : row.id;
  const before = last ? last.before : null;
  if (!(await send(id, before ? before.verdict : "undone", before && before.box))) return;
  given.pop();
  await open(id, { remember: false });
  toast("Taken back.");
}

// True once the verdict is on disk.
async function send(id, verdict, box) {
  busy = true;
  document.body.dataset.busy = "yes";
  try {
    const body = JSON.stringify({ id, verdict, box: verdict === "box" ? box : undefined });
    const headers = { "Content-Type": "application/json" };
    const answer = await ask(`/api/verdict?${query()}`, { method: "POST", headers, body });
    if (view.row && view.row.id === id) view.row.verdict = answer.verdict;
    if (ahead) {
      const { reviewed, total } = answer;
      ahead.answer = ahead.answer.then((next) => ({ ...next, reviewed, total }));
    }
    $("error").hidden = true;
    return true;
  } catch (error) {
    complain(error);
    $("error").textContent = `Not saved. ${$("error").textContent}`;
    return false;
  } finally {
    busy = false;
    delete document.body.dataset.busy;
  }
}

// Verdicts of other tabs and people.
async function poll() {
  if (busy || !session || document.hidden) return;
  try {
    const news = await ask(`/api/changes?since=${seen}`);
    $("stale").hidden = !news.stale;
    if (offline) {
      offline = false;
      $("error").hidden = true;
    }
    const [id, mine] = [view && view.row && view.row.id, ticket];
    seen = news.since;
    if (!news.changed.length || busy) return;
    ahead = null;
    if (!id) return;
    const answer = await ask(`/api/row?${query({ at: id })}`);
    if (mine !== ticket || busy) return;
    const untouched = JSON.stringify(chosen) === JSON.stringify(firstChoice(view.row));
    const differs = JSON.stringify(answer.row.verdict) !== JSON.stringify(view.row.verdict);
    view = answer;
    if (untouched) chosen = firstChoice(view.row);
    render();
    lookAhead();
    if (differs) toast("Another tab has judged this photo.");
  } catch (error) {
    complain(error);
  }
}

// ---------------------------------------------------------------- showing

function showPictures(mine) {
  const { row } = view;
  const photo = $("photo");
  $("frame").hidden = !row;
  $("empty").hidden = Boolean(row);
  if (!row) return;
  photo.classList.add("waiting");
  photo.alt = `photo ${row.image}`;
  photo.src = `/photo/${row.id}`;
  photo.decode().then(
    () => {
      if (mine !== ticket) return;
      photo.classList.remove("waiting");
      preview(chosen.box);
      document.body.dataset.shown = row.id;
      lookAhead();
    },
    () => {
      if (mine !== ticket) return;
      document.body.dataset.shown = row.id;
      lookAhead();
    },
  );
  const crop = $("crop");
  crop.classList.toggle("none", !row.has_crop);
  if (row.has_crop) crop.src = `/crop/${row.id}`;
  else crop.removeAttribute("src");
}

function render() {
  const { row } = view;
  $("count").textContent = view.total
    ? `${(view.position || 0).toLocaleString("en")} of ${view.total.toLocaleString("en")} · ${view.reviewed.toLocaleString("en")} reviewed`
    : "none";
  $("bar").max = Math.max(view.total, 1);
  $("bar").value = view.reviewed;
  $("panel").hidden = !row;
  if (!row) return;
  drawing.show(row, chosen.box, session);
  $("name").textContent = row.image;
  $("name").title = row.image;
  document.title = `${row.image} – detic-crop review`;
  showVerdict(row);
  $("problem").textContent = row.problem;
  $("problem").hidden = !row.problem;
  fill("flags", row.flags, ([name, rule]) => {
    const item = document.createElement("li");
    item.textContent = name;
    item.title = rule;
    return item;
  });
  showFacts(row);
  fill("candidates", row.candidates, candidateItem);
  $("take-label").textContent = takeWords(row);
  preview(chosen.box);
}

function takeWords(row) {
  if (chosen.kind === "whole") return "Whole photo";
  if (chosen.kind === "box") return `Take ${nameOf(chosen.box)}`;
  return row.detected ? "Accept the detector's box" : "Accept: no animal, whole photo";
}

function showVerdict(row) {
  const { verdict } = row;
  $("verdict").classList.toggle("given", Boolean(verdict));
  if (!verdict) {
    $("verdict").textContent = "not reviewed";
    $("verdict").title = "";
    return;
  }
  $("verdict").textContent = wordsOf(verdict) + (verdict.reviewer ? ` — ${verdict.reviewer}` : "");
  $("verdict").title = verdict.time;
}

function showFacts(row) {
  const facts = [...row.labels, ["suspicion", row.suspicion.toFixed(2)]];
  if (row.presence !== null) facts.push(["presence", row.presence.toFixed(2)]);
  facts.push(["photo", `${row.width} × ${row.height}`]);
  const parts = facts.flatMap(([name, value], i) => {
    const bold = document.createElement("b");
    bold.textContent = value;
    return [`${i ? " · " : ""}${name} `, bold];
  });
  $("facts").replaceChildren(...parts);
}

function fill(id, items, make) {
  $(id).replaceChildren(...items.map(make));
}

function candidateItem(candidate, i) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.className = candidate.own ? "own" : candidate.eligible ? "eligible" : "weak";
  button.setAttribute("aria-pressed", String(sameBox(candidate.box, chosen.box)));
  const parts = [["number", i < 9 ? `${i + 1}` : "·"], ["class", candidate.class], ["score", candidate.score.toFixed(2)]];
  for (const [name, words] of parts) {
    const part = document.createElement("span");
    part.className = name;
    part.textContent = words;
    button.append(part);
  }
  if (candidate.own) button.title = "the detector's choice";
  else if (!candidate.eligible) button.title = "below --conf, or of a class that was not asked for";
  button.addEventListener("click", () => choose(candidate.box));
  item.append(button);
  return item;
}

// What the crop will look like; box null is the whole photo.
function preview(box) {
  const { row } = view;
  const { fit, scale } = session;
  const whole = [0, 0, row.width, row.height];
  const rectangle = box ? cropRectangle(box, scale, fit, row.width, row.height) : whole;
  const canvas = $("preview");
  const paint = canvas.getContext("2d");
  paint.fillStyle = "#000";
  paint.fillRect(0, 0, canvas.width, canvas.height);
  const photo = $("photo");
  const ready = photo.complete && photo.naturalWidth && !photo.classList.contains("waiting");
  if (ready) {
    const ratio = photo.naturalWidth / row.width;
    const [x1, y1, x2, y2] = rectangle.map((edge) => edge * ratio);
    const [left, top, width, height] = placeInSquare(rectangle, fit).map((share) => share * canvas.width);
    paint.imageSmoothingQuality = "high";
    paint.drawImage(photo, x1, y1, x2 - x1, y2 - y1, left, top, width, height);
  }
  const size = `${rectangle[2] - rectangle[0]} × ${rectangle[3] - rectangle[1]} px`;
  $("preview-caption").textContent = `${box ? "outlined" : "whole photo"}: ${size}`;
}

let toastTimer = 0;
function toast(words) {
  $("toast").textContent = words;
  $("toast").classList.add("on");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => $("toast").classList.remove("on"), TOAST_MS);
}

// ---------------------------------------------------------------- filters and finding

const REVIEWED = [["", "all photos"], ["no", "not reviewed"], ["yes", "reviewed"]];

function addFilter(name, title, options) {
  const select = document.createElement("select");
  select.setAttribute("aria-label", title);
  select.title = title;
  select.dataset.filter = name;
  for (const [value, words, hint] of options) {
    const option = new Option(words, value);
    if (hint) option.title = hint;
    select.append(option);
  }
  select.value = filters.get(name) || "";
  if (select.selectedIndex < 0) select.value = "";
  select.classList.toggle("on", Boolean(select.value));
  select.addEventListener("change", () => {
    if (select.value) filters.set(name, select.value);
    else filters.delete(name);
    select.classList.toggle("on", Boolean(select.value));
    select.blur();
    ahead = null;
    visited = [];
    open(null, { remember: false });
  });
  $("filters").append(select);
}

function addFilters() {
  addFilter("reviewed", "Reviewed or not", REVIEWED);
  for (const { filter, values } of session.choices) {
    if (values.length < 2 && filter !== "flag" && filter !== "sample") continue;
    const title = filter.replace(/^label:/, "");
    const options = values.map(([value, hint, count]) => [
      value,
      `${(filter === "flag" ? hint.split(":")[0] : filter === "sample" ? "sample only" : value) || "(none)"} (${count.toLocaleString("en")})`,
      hint,
    ]);
    // A label may be empty; an empty choice means all.
    addFilter(filter, title, [["", `any ${title}`], ...options.filter(([value]) => value)]);
  }
}

let findTicket = 0;
async function find() {
  const mine = ++findTicket;
  const text = $("find").value;
  const found = text.trim() ? await ask(`/api/find?${new URLSearchParams({ q: text })}`).catch(() => []) : [];
  if (mine !== findTicket) return;
  fill("found", found, ([id, image], i) => {
    const item = document.createElement("li");
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", String(i === 0));
    item.id = `found-${id}`;
    item.dataset.id = id;
    item.textContent = image;
    item.addEventListener("pointerdown", (event) => { event.preventDefault(); jump(id); });
    return item;
  });
  showFound(found.length > 0);
  if (text.trim() && !found.length) toast("No photo has that in its name.");
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
  open(id);
}

$("find").addEventListener("input", find);
$("find").addEventListener("blur", () => showFound(false));
$("find").addEventListener("keydown", (event) => {
  const active = $("found").querySelector('[aria-selected="true"]');
  if (event.key === "Enter" && active) jump(active.dataset.id);
  else if (event.key === "ArrowDown") moveFound(1);
  else if (event.key === "ArrowUp") moveFound(-1);
  else if (event.key === "Escape") $("find").blur();
  else return;
  event.preventDefault();
});

// ---------------------------------------------------------------- keys and buttons

const KEYS = {
  Enter: take, a: take, w: () => give("whole"), x: () => give("rejected"), u: undo,
  c: () => cycle(1), C: () => cycle(-1),
  ArrowRight: () => step(true), j: () => step(true), ArrowLeft: () => step(false), k: () => step(false),
  f: () => $("find").focus(), "/": () => $("find").focus(), "?": help, Escape: reset,
};
const REPEATING = new Set(["ArrowRight", "ArrowLeft", "j", "k", "c", "C"]);

function help() {
  if ($("help").open) $("help").close();
  else $("help").showModal();
}

function reset() {
  if (drawing.cancel() || !view.row) return;
  chosen = firstChoice(view.row);
  render();
}

function takeNumber(number) {
  const candidate = view.row.candidates[number - 1];
  if (!candidate) toast(`There is no box ${number}.`);
  else if (candidate.own) give("accepted");
  else give("box", candidate.box);
}

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (!view || event.isComposing || target.closest("input, select")) return;
  if ($("help").open) {
    if (key === "?") help();
    return;
  }
  if (event.metaKey || event.ctrlKey || event.altKey) {
    if (key !== "z" || event.altKey || event.shiftKey) return;
    event.preventDefault();
    undo();
    return;
  }
  if (target.closest("button") && (key === "Enter" || key === " ")) return; // the button's own
  const action = /^[1-9]$/.test(key) ? () => takeNumber(Number(key)) : KEYS[key] || KEYS[key.toLowerCase()];
  if (!action || (!view.row && !["u", "f", "/", "?"].includes(key))) return;
  event.preventDefault();
  // A verdict key that is held down must not judge one photo after another.
  if (event.repeat && !REPEATING.has(key)) return;
  action();
});

function onClick(id, action) {
  $(id).addEventListener("click", (event) => {
    if (event.detail) $(id).blur(); // by mouse: keys go to the page again
    action();
  });
}
onClick("take", take);
onClick("whole", () => give("whole"));
onClick("reject", () => give("rejected"));
onClick("undo", undo);
onClick("previous", () => step(false));
onClick("next", () => step(true));
onClick("help-button", help);

// ---------------------------------------------------------------- start

async function start() {
  try {
    session = await ask("/api/session");
  } catch (error) {
    complain(error);
    return;
  }
  seen = session.since;
  $("folder").textContent = session.folder;
  $("folder").title = `${session.total.toLocaleString("en")} photos; you are ${session.reviewer}`;
  const place = new URLSearchParams(location.hash.slice(1));
  const at = place.get("at");
  place.delete("at");
  const known = new Set(["reviewed", ...session.choices.map(({ filter }) => filter)]);
  for (const [name, value] of place) if (known.has(name)) filters.set(name, value);
  addFilters();
  await open(at);
  if (!view) await open(null);
  setInterval(poll, POLL_MS);
  for (const name of ["focus", "visibilitychange"]) window.addEventListener(name, poll);
}

start();
