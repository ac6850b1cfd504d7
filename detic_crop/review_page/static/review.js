// The review page: shows one photo, sends verdicts, moves on. Names and labels are only ever set as text.
//
// A box in hand belongs to the person: whatever the server answers is shown once the mouse is let go, and then
// changes what is said of the photo, never the box. Who draws while the next photo is on its way stays.

import { cropRectangle, placeInSquare, sameBox } from "./boxes.js";
import { Drafts } from "./drafts.js";
import { Drawing } from "./drawing.js";

const $ = (id) => document.getElementById(id);
const POLL_MS = 2000;
const TOAST_MS = 3500;

let session = null; // what api/session said
let view = null; // what api/row said: row, position, total, reviewed, next, previous
let chosen = null; // what Enter takes: {kind: "own" | "whole" | "box", box}
let picture = "waiting"; // the photo: "waiting", "shown", or "none" where it cannot be shown
let meanwhile = null; // what another tab said of this photo while a box was in hand
let ahead = null; // the next photo, fetched early: {id, query, answer}
let visited = []; // ids before this one; "not reviewed" leaves no other way back
let given = []; // verdicts of this tab, for undo: {id, before, draft, photo}
let drafts = null; // boxes drawn and not taken yet
let touched = 0; // boxes drawn, or picked by mouse, so far
let busy = false; // a verdict is on its way to the disk, or its photo is still shown
let pending = 0; // photos that were asked for and are not here yet
let ticket = 0; // of the photo that was asked for last
let loading = 0; // of the pictures that were asked for last
let seen = 0; // changes noted so far
let polling = false; // the server is asked for news
let offline = false; // the last complaint was that nobody answers

const filters = new Map(); // name → value
const drawing = new Drawing($("stage"), $("frame"), $("overlay"), {
  drawn: (box) => draw(box),
  clicked: (box) => pick(box),
  dragged: (box) => preview(box),
  dropped: () => render(),
});

// ---------------------------------------------------------------- talking to the server

async function ask(address, options) {
  const answer = await fetch(address, options);
  if (!answer.ok) {
    const words = (await answer.text()).slice(0, 400) || `answer ${answer.status}`;
    throw Object.assign(new Error(words), { status: answer.status });
  }
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

// Show a photo, or where to begin; true when it is shown.
// Whoever has touched a box since `touched` was `since` stays where that box is.
async function open(id, options) {
  pending += 1;
  markBusy();
  try {
    return await fetchAndShow(id, options);
  } finally {
    pending -= 1;
    markBusy();
  }
}

async function fetchAndShow(id, { remember = true, since = touched } = {}) {
  const mine = ++ticket;
  const asked = id ? query({ at: id }) : query();
  let answer;
  try {
    const early = ahead && ahead.id === id && ahead.query === asked ? ahead.answer : null;
    answer = await (early || ask(`api/row?${asked}`));
  } catch (error) {
    await drawing.released();
    if (mine === ticket) complain(error);
    if (id && error.status === 404) drafts.drop(id); // a photo that is not in the run any more
    return false;
  }
  await drawing.released();
  if (mine !== ticket) return false;
  ahead = null;
  $("error").hidden = true;
  const here = view && view.row;
  if (here && answer.row && answer.row.id === here.id) {
    update(answer);
    return true;
  }
  if (here && touched !== since) {
    toast("You were drawing, so this photo stays.");
    await refresh().catch(complain);
    return false;
  }
  if (remember && here && answer.row) visited.push(here.id);
  view = answer;
  meanwhile = null;
  if (view.row && drafts.isOutdated(view.row)) {
    drafts.drop(view.row.id);
    toast("The photo is not the one you drew on: that box was dropped.");
  }
  chosen = view.row ? startChoice(view.row) : null;
  keepPlace();
  showPictures();
  render();
  return true;
}

// Ask again what is said of the photo that is shown.
async function refresh() {
  const [id, mine] = [view && view.row && view.row.id, ticket];
  if (!id) return;
  const answer = await ask(`api/row?${query({ at: id })}`);
  await drawing.released();
  if (mine === ticket && view.row && view.row.id === id) update(answer);
}

// News of the photo that is shown: a box in hand stays.
function update(answer) {
  const before = view.row.verdict;
  const draft = drafts.of(view.row);
  // It is taken, though the answer may have been lost, or by somebody else.
  if (draft && answer.row.verdict && sameBox(draft, answer.row.verdict.box)) drafts.drop(view.row.id);
  const held = isInHand();
  const differs = JSON.stringify(answer.row.verdict) !== JSON.stringify(before);
  view = answer;
  if (!held) chosen = startChoice(view.row);
  else if (differs) meanwhile = view.row.verdict ? wordsOfGiven(view.row.verdict) : "taken back";
  keepPlace();
  render();
  if (picture !== "waiting" && !ahead) lookAhead();
  return differs;
}

function lookAhead() {
  if (!view.next) return;
  const asked = query({ at: view.next });
  const early = { id: view.next, query: asked, answer: ask(`api/row?${asked}`) };
  early.answer.then(
    ({ row }) => { if (row.may.includes("box")) new Image().src = `photo/${row.id}`; },
    () => { if (ahead === early) ahead = null; },
  );
  ahead = early;
}

function step(forward) {
  if (busy || !view || !isFree()) return;
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

// What is outlined when a photo comes up.
function startChoice(row) {
  const draft = drafts.of(row);
  return draft ? { kind: "box", box: draft } : firstChoice(row);
}

// Whether a box is outlined that was drawn or picked and not taken yet.
function isInHand() {
  return Boolean(drafts.of(view.row)) || JSON.stringify(chosen) !== JSON.stringify(firstChoice(view.row));
}

function choose(box) {
  chosen = sameBox(box, view.row.detected) ? own(view.row) : { kind: "box", box };
  render();
}

function pick(box) {
  touched += 1;
  choose(box);
}

// A box that was drawn is kept until a verdict; one that there is already is only picked.
function draw(box) {
  const { row } = view;
  touched += 1;
  const verdict = row.verdict && row.verdict.box;
  const known = [row.detected, verdict, ...row.candidates.map((candidate) => candidate.box)];
  if (known.some((other) => sameBox(other, box))) drafts.drop(row.id);
  else drafts.keep(row, box);
  choose(box);
}

function cycle(by) {
  if (busy || !mayChoose()) return;
  const draft = drafts.of(view.row);
  const boxes = [...view.row.candidates.map((candidate) => candidate.box), ...(draft ? [draft] : [])];
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

function wordsOfGiven(verdict) {
  return wordsOf(verdict) + (verdict.reviewer ? ` — ${verdict.reviewer}` : "");
}

// ---------------------------------------------------------------- verdicts

// What may be said of this photo: what cannot be seen cannot be judged.
function isAllowed(verdict) {
  const { row } = view;
  if (!row.may.includes(verdict)) return false;
  if (picture !== "none") return true;
  // To accept is to leave it to the detector, whose crop this is not where a verdict was applied.
  const isDetectors = !["box", "whole"].includes(row.applied);
  return row.has_crop && (verdict === "rejected" || (verdict === "accepted" && isDetectors));
}

// Whether a verdict can be given now; says why not.
function mayJudge(verdict) {
  if (!isFree()) return false;
  if (pending) {
    toast("The next photo is not here yet.");
    return false;
  }
  if (!isAllowed(verdict)) {
    toast(whyNot(view.row) || "That cannot be said of this photo.");
    return false;
  }
  const crop = $("instead-crop");
  const isSeen = picture === "shown" || (picture === "none" && crop.complete && crop.naturalWidth);
  if (!isSeen) toast("The picture is not here yet.");
  return isSeen;
}

function mayChoose() {
  if (!isFree()) return false;
  if (isAllowed("box")) return true;
  toast(whyNot(view.row) || "The photo is not shown, so no box can be chosen.");
  return false;
}

function whyNot(row) {
  return row.problem || (picture === "none" ? NOT_SHOWN : "");
}

const NOT_SHOWN = "The photo cannot be shown; reload the page to try again. Until then only its crop can be judged.";

// Keys are of no use while a box is in the making.
function isFree() {
  if (drawing.drag) toast("Let go of the mouse first; Esc drops the box.");
  return !drawing.drag;
}

// What Enter says.
function taken() {
  if (picture === "none") return "accepted";
  return { own: "accepted", whole: "whole", box: "box" }[chosen.kind];
}

function take() {
  give(taken(), chosen.box);
}

function setBusy(value) {
  busy = value;
  markBusy();
}

// Whether what a verdict is about, the photo or else its crop, is still on its way.
function isComing(row) {
  return picture === "waiting" || (picture === "none" && row.has_crop && !$("instead-crop").complete);
}

// For whoever waits until the next verdict can be given.
function markBusy() {
  if (busy || pending || (view && view.row && isComing(view.row))) document.body.dataset.busy = "yes";
  else delete document.body.dataset.busy;
}

async function give(verdict, box) {
  const row = view && view.row;
  if (busy || !row || !mayJudge(verdict)) return;
  const since = touched;
  const before = row.verdict;
  const same = before && before.verdict === verdict && (verdict !== "box" || sameBox(before.box, box));
  if (same) {
    drafts.drop(row.id);
    step(true); // said already
    return;
  }
  setBusy(true);
  try {
    const draft = drafts.of(row);
    if (!(await send(row.id, verdict, box))) return;
    meanwhile = null;
    if (touched === since) {
      drafts.drop(row.id);
      chosen = firstChoice(view.row);
    }
    given.push({ id: row.id, before, draft, photo: row.photo });
    toast(`${row.image}: ${wordsOf({ verdict, box })} (u takes it back)`);
    const last = !view.next;
    if (filters.has("reviewed")) ahead = null; // this photo has left the filter or come into it
    const isThere = await open(view.next || row.id, { since });
    if (!isThere) render();
    else if (last) toast("That was the last photo of these filters.");
  } finally {
    setBusy(false);
  }
}

async function undo() {
  if (busy || !view || !isFree()) return;
  const last = given[given.length - 1];
  const row = view.row;
  if (!last && !(row && row.verdict)) {
    toast("There is no verdict to take back.");
    return;
  }
  const id = last ? last.id : row.id;
  const before = last ? last.before : null;
  const since = touched;
  setBusy(true);
  try {
    if (!(await send(id, before ? before.verdict : "undone", before && before.box))) return;
    given.pop();
    // The box that was drawn for it comes back, unless there is a newer one.
    if (last && last.draft && !drafts.has(id)) {
      drafts.keep(last, last.draft);
      if (row && row.id === id) chosen = startChoice(row);
    }
    await open(id, { remember: false, since });
    toast("Taken back.");
  } finally {
    setBusy(false);
  }
}

// True once the verdict is on disk.
async function send(id, verdict, box) {
  try {
    const body = JSON.stringify({ id, verdict, box: verdict === "box" ? box : undefined });
    const headers = { "Content-Type": "application/json" };
    const answer = await ask(`api/verdict?${query()}`, { method: "POST", headers, body });
    await drawing.released();
    if (view.row && view.row.id === id) view.row.verdict = answer.verdict;
    if (ahead) {
      const { reviewed, total } = answer;
      ahead.answer = ahead.answer.then((next) => ({ ...next, reviewed, total }));
      ahead.answer.catch(() => {});
    }
    $("error").hidden = true;
    return true;
  } catch (error) {
    await drawing.released();
    complain(error);
    $("error").textContent = `Not saved. ${$("error").textContent}`;
    return false;
  }
}

// Verdicts of other tabs and people.
async function poll() {
  if (busy || polling || !session || document.hidden || drawing.drag) return;
  polling = true;
  try {
    const news = await ask(`api/changes?since=${seen}`);
    await drawing.released();
    $("stale").hidden = !news.stale;
    if (offline) {
      offline = false;
      $("error").hidden = true;
    }
    seen = news.since;
    if (!news.changed.length) return;
    ahead = null;
    if (busy || !view || !view.row) return;
    const before = JSON.stringify(view.row.verdict);
    const { id } = view.row;
    await refresh();
    if (view.row && view.row.id === id && JSON.stringify(view.row.verdict) !== before) {
      toast("Another tab has judged this photo.");
    }
  } catch (error) {
    await drawing.released();
    complain(error);
  } finally {
    polling = false;
  }
}

// ---------------------------------------------------------------- showing

function showPictures() {
  const mine = ++loading;
  const { row } = view;
  const photo = $("photo");
  $("empty").hidden = Boolean(row);
  picture = row && row.may.includes("box") ? "waiting" : "none";
  showStage();
  markBusy();
  if (!row) return;
  const crop = $("crop");
  crop.classList.toggle("none", !row.has_crop);
  $("crop-caption").textContent = row.has_crop ? "crop now" : "no crop";
  for (const image of [crop, $("instead-crop")]) {
    if (row.has_crop) image.src = `crop/${row.id}`;
    else image.removeAttribute("src");
  }
  const done = async (how) => {
    if (how === "none") await drawing.released(); // the stage goes away
    if (mine !== loading) return;
    picture = how;
    photo.classList.toggle("waiting", how !== "shown");
    document.body.dataset.shown = row.id;
    showStage();
    if (how !== "shown") render();
    preview(drawing.selected);
    markBusy();
    lookAhead();
  };
  photo.classList.add("waiting");
  photo.alt = `photo ${row.image}`;
  if (picture === "none") {
    photo.removeAttribute("src");
    done("none");
    return;
  }
  photo.src = `photo/${row.id}`;
  photo.decode().then(() => done("shown"), () => done(photo.complete && photo.naturalWidth ? "shown" : "none"));
}

// Where the photo cannot be shown its crop stands in, and no box can be drawn.
function showStage() {
  const { row } = view;
  const isGone = Boolean(row) && picture === "none";
  $("frame").hidden = !row || isGone;
  $("instead").hidden = !isGone;
  $("preview-figure").hidden = isGone;
  $("instead-crop").hidden = !isGone || !row.has_crop;
  $("instead-words").textContent = isGone
    ? row.has_crop ? "This is the crop: the photo itself cannot be shown." : "Neither photo nor crop can be shown."
    : "";
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
  drawing.show(row, chosen.box, drafts.of(row), session);
  $("name").textContent = row.image;
  $("name").title = row.image;
  document.title = `${row.image} – detic-crop review`;
  showVerdict(row);
  showHeld(row);
  $("problem").textContent = whyNot(row);
  $("problem").hidden = !whyNot(row);
  fill("flags", row.flags, ([name, rule]) => {
    const item = document.createElement("li");
    item.textContent = name;
    item.title = rule;
    return item;
  });
  showFacts(row);
  fill("candidates", row.candidates, candidateItem);
  const draft = drafts.of(row);
  if (draft) $("candidates").prepend(draftItem(draft));
  $("take-label").textContent = takeWords(row);
  $("take").disabled = !isAllowed(taken());
  $("whole").disabled = !isAllowed("whole");
  $("reject").disabled = !isAllowed("rejected");
  preview(drawing.selected);
}

// A box that is not taken yet, and what others said meanwhile.
function showHeld(row) {
  const draft = drafts.of(row);
  const words = [
    meanwhile ? `Another tab says meanwhile: ${meanwhile}. Your box stays: Enter takes it, Esc drops it.` : "",
    draft && !sameBox(draft, chosen.box) ? "Esc goes back to the box you drew." : "",
  ];
  $("held").textContent = words.filter(Boolean).join(" ");
  $("held").hidden = !words.some(Boolean);
}

function showDrafts() {
  $("drafts").hidden = !drafts.size;
  $("drafts-count").textContent = drafts.size.toLocaleString("en");
  $("drafts").setAttribute("aria-label", `Go to the next of ${drafts.size} photos with a drawn box that is not taken`);
}

function takeWords(row) {
  if (picture === "none") return isAllowed("accepted") ? "Accept the crop as it is" : "Accept";
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
  $("verdict").textContent = wordsOfGiven(verdict);
  $("verdict").title = verdict.time;
}

function showFacts(row) {
  const facts = [...row.labels, ["suspicion", row.suspicion.toFixed(2)]];
  if (row.presence !== null) facts.push(["presence", row.presence.toFixed(2)]);
  if (row.width) facts.push(["photo", `${row.width}\u00a0×\u00a0${row.height}`]); // a failed one may have no size
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
  const kind = candidate.own ? "own" : candidate.eligible ? "eligible" : "weak";
  const parts = [["number", i < 9 ? `${i + 1}` : "·"], ["class", candidate.class], ["score", candidate.score.toFixed(2)]];
  const item = boxItem(candidate.box, kind, parts);
  if (candidate.own) item.firstChild.title = "the detector's choice";
  else if (!candidate.eligible) item.firstChild.title = "below --conf, or of a class that was not asked for";
  return item;
}

function draftItem(box) {
  return boxItem(box, "drawn", [["number", "✎"], ["class", "drawn box, not taken yet"]]);
}

function boxItem(box, kind, parts) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.className = kind;
  button.disabled = !isAllowed("box");
  button.setAttribute("aria-pressed", String(sameBox(box, chosen.box)));
  for (const [name, words] of parts) {
    const part = document.createElement("span");
    part.className = name;
    part.textContent = words;
    button.append(part);
  }
  button.addEventListener("click", () => pick(box));
  item.append(button);
  return item;
}

// What the crop will look like; box null is the whole photo.
function preview(box) {
  const { row } = view;
  if (!row) return;
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
  if (select.selectedIndex < 0) { // an address with a value that no photo has
    select.value = "";
    filters.delete(name);
  }
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
let finding = Promise.resolve(); // what was typed last is being looked for
async function find() {
  const mine = ++findTicket;
  const text = $("find").value;
  const found = text.trim() ? await ask(`api/find?${new URLSearchParams({ q: text })}`).catch(() => []) : [];
  if (mine !== findTicket) return;
  fill("found", found, ([id, image], i) => {
    const item = document.createElement("li");
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", String(i === 0));
    item.id = `found-${id}`;
    item.dataset.id = id;
    item.textContent = drafts.has(id) ? `✎ ${image}` : image;
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

// Enter means what was typed, not what an earlier letter found.
function jumpToActive() {
  const active = $("found").querySelector('[aria-selected="true"]');
  if (active && document.activeElement === $("find")) jump(active.dataset.id);
}

for (const how of ["load", "error"]) $("instead-crop").addEventListener(how, markBusy);

$("find").addEventListener("input", () => { finding = find(); });
$("find").addEventListener("blur", () => showFound(false));
$("find").addEventListener("keydown", (event) => {
  if (event.key === "Enter") finding.then(jumpToActive);
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
  f: () => $("find").focus(), "/": () => $("find").focus(), "?": help, Escape: reset, d: nextDraft,
};
const REPEATING = new Set(["ArrowRight", "ArrowLeft", "j", "k", "c", "C"]);

function help() {
  if ($("help").open) $("help").close();
  else $("help").showModal();
}

function reset() {
  if (drawing.cancel() || !view.row) return;
  const draft = drafts.of(view.row);
  // First what was picked over it, then the drawn box itself.
  if (draft && sameBox(draft, chosen.box)) drafts.drop(view.row.id);
  chosen = startChoice(view.row);
  meanwhile = null;
  render();
}

function nextDraft() {
  if (busy || !isFree()) return;
  if (!drafts.size) toast("No box is drawn and not taken.");
  else open(drafts.after(view && view.row && view.row.id));
}

function takeNumber(number) {
  if (!mayChoose()) return;
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
  if (!action || (!view.row && !["u", "f", "/", "?", "d"].includes(key))) return;
  event.preventDefault();
  // A verdict key that is held down must not judge one photo after another.
  if (event.repeat && !REPEATING.has(key)) return;
  if (key === "Escape" || isFree()) action();
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
onClick("drafts", nextDraft);

window.addEventListener("beforeunload", (event) => {
  if (!(drafts && drafts.size) && !drawing.drag) return;
  event.preventDefault();
  event.returnValue = ""; // for older browsers
});

// ---------------------------------------------------------------- start

async function start() {
  try {
    session = await ask("api/session");
  } catch (error) {
    complain(error);
    return;
  }
  seen = session.since;
  drafts = new Drafts(session.id, showDrafts);
  showDrafts();
  $("absent").textContent = session.absent;
  $("absent").hidden = !session.absent;
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
