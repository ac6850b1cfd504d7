// Shows what the state says. Names and labels are only ever set as text.

import { cropRectangle, placeInSquare, sameBox, sameBoxes } from "./boxes.js";
import { animals, isAllowed, isSeen, isSeveral, nameOf, pickedBox, taken, whyNot, wordsOfGiven } from "./choice.js";
import { Drawing } from "./drawing.js";
import { numeral, showProgress } from "./progress.js";
import { $, state } from "./state.js";
import { showTitle, toast } from "./telling.js";
import { Tiles } from "./tiles.js";
import { Viewport } from "./viewport.js";

// What to do where one part of the page has news for a later one; `places.js` and `review.js` fill it.
export const handlers = {
  drawn: null, // a box was drawn
  clicked: null, // a box was clicked
  changed: null, // what is said of photos has changed
  heard: null, // others have judged the photos with these ids
  opening: null, // a photo is about to be shown
  opened: null, // a card of the grid was clicked
  left: null, // the grid gives way to the card of the end
  ended: null, // the last page of the grid is done; returns whether that leads elsewhere
  filtered: null, // other filters were chosen
  renewed: null, // the server has opened the folder anew
  undoSeveral: null, // the last verdicts were given in the grid, and are taken back
  finish: null, // the last photo is done
};

export const viewport = new Viewport($("stage"), $("frame"), {
  changed: () => showView(),
  taken: () => drawing.cancel(),
});
export const tiles = new Tiles($("tiles"), $("photo"), () => preview(drawing.selected));

export const drawing = new Drawing(viewport, $("frame"), $("overlay"), {
  drawn: (box, at) => handlers.drawn(box, at),
  clicked: (box) => handlers.clicked(box),
  dragged: (box) => preview(box),
  dropped: () => render(),
});

// Another part of the photo: the boxes go with it.
function showView() {
  drawing.render();
  if (state.picture === "shown") tiles.lookAt(viewport.view, viewport.size, viewport.density);
  $("zoom-pixels").textContent = `${viewport.percent} %`;
  $("zoom-pixels").setAttribute("aria-label", `Zoom ${viewport.percent} %: show each photo pixel as one of the screen`);
}

// Keys are of no use while a box is in the making.
export function isFree() {
  if (drawing.drag) toast("Let go of the mouse first; Esc drops the box.");
  return !drawing.drag;
}

// Whether what a verdict is about, the photo or else its crop, is still on its way.
function isComing(row) {
  return state.picture === "waiting" || (state.picture === "none" && row.has_crop && !$("instead-crop").complete);
}

// For whoever waits until the next verdict can be given.
export function markBusy() {
  const row = state.view && state.view.row;
  if (state.busy || state.saving || state.marking || state.pending || (row && isComing(row))) document.body.dataset.busy = "yes";
  else delete document.body.dataset.busy;
}

// Whether nothing stands in the way of another word; says why not.
export function mayGoOn() {
  if (state.pending) toast(state.grid ? "The next photos are not here yet." : "The next photo is not here yet.");
  else if (state.busy) toast("What was said last is still on its way.");
  return !state.pending && !state.busy;
}

// Whether keys are for a field: what comes late must not take the focus away from it.
export function isTyping() {
  return Boolean(document.activeElement && document.activeElement.closest("input, select, textarea"));
}

// Whoever is to lead elsewhere once an answer is here calls this before: it returns whether nothing else was asked for
// since. The last wish counts, whatever comes first.
export function wish(isNew = true) {
  if (isNew) state.asked += 1;
  const mine = state.asked;
  return () => mine === state.asked;
}

// Whatever changes what is shown goes through here: nothing can be said until it is there.
export async function whileComing(work) {
  state.pending += 1;
  markBusy();
  try {
    return await work();
  } finally {
    state.pending -= 1;
    markBusy();
  }
}

// Whether the card of the end is shown in place of the photo.
export function showCard(shown) {
  state.finished = shown;
  if (shown) $("toast").classList.remove("on"); // it would lie on the buttons of the card
  document.querySelector("main").classList.toggle("finished", shown);
  $("finish").hidden = !shown;
  $("finish-button").setAttribute("aria-expanded", String(shown));
}

export function showPictures(then) {
  const mine = ++state.loading;
  const { row } = state.view;
  const photo = $("photo");
  $("empty").hidden = Boolean(row);
  state.picture = row && row.may.includes("box") ? "waiting" : "none";
  tiles.show(state.picture === "none" ? null : row);
  showStage();
  markBusy();
  if (!row) return;
  if (row.has_crop) load($("instead-crop"), addressOfCrop(row.id));
  else $("instead-crop").removeAttribute("src");
  const done = async (how) => {
    if (how === "none") await drawing.released(); // the stage goes away
    if (mine !== state.loading) return;
    state.picture = how;
    photo.classList.toggle("waiting", how !== "shown");
    document.body.dataset.shown = row.id;
    showStage();
    if (how !== "shown") render();
    else showView();
    preview(drawing.selected);
    markBusy();
    then();
  };
  photo.classList.add("waiting");
  photo.alt = `photo ${row.image}`;
  if (state.picture === "none") {
    photo.removeAttribute("src");
    done("none");
    return;
  }
  photo.src = addressOfPhoto(row);
  photo.decode().then(() => done("shown"), () => done(photo.complete && photo.naturalWidth ? "shown" : "none"));
}

// Where the photo cannot be shown its crop stands in, and no box can be drawn.
function showStage() {
  const { row } = state.view;
  const isGone = Boolean(row) && state.picture === "none";
  for (const name of ["frame", "tiles", "overlay", "zoom"]) $(name).hidden = !row || isGone;
  $("instead").hidden = !isGone;
  $("preview-figure").hidden = isGone;
  $("instead-crop").hidden = !isGone || !row.has_crop;
  $("instead-words").textContent = isGone
    ? row.has_crop ? "This is the crop: the photo itself cannot be shown." : "Neither photo nor crop can be shown."
    : "";
}

// Another address for another photo of the same name: the browser keeps pictures for a while.
export function addressOfPhoto(row) {
  return `photo/${row.id}?${row.photo}`;
}

// Another address once the crops may be others.
function addressOfCrop(id) {
  const { edition } = state.session;
  return `crop/${id}${edition ? `?${edition}` : ""}`;
}

// The crop there is of the picked animal, or of the photo.
function showCrop(row) {
  const crop = $("crop");
  const box = pickedBox();
  const own = row.crops.find((other) => (box && other.box ? sameBox(other.box, box) : !box && !other.box));
  const address = row.crops.length ? own && addressOfCrop(`${row.id}/${own.number}`) : row.has_crop && addressOfCrop(row.id);
  crop.classList.toggle("none", !address);
  $("crop-caption").textContent = address ? "crop now" : "no crop";
  if (!address) crop.removeAttribute("src");
  else if (crop.getAttribute("src") !== address) load(crop, address);
}

// A browser shows the picture before until another one is here; nobody may take one for the other.
function load(picture, address) {
  picture.classList.add("waiting");
  picture.src = address;
}

export function render() {
  const { row } = state.view;
  showProgress();
  showTitle();
  $("panel").hidden = !row;
  if (!row) return;
  const { boxes } = state.chosen;
  const { picked, adding } = state;
  drawing.show(row, { boxes, picked, draft: state.drafts.of(row), several: isSeveral(), adding }, state.session);
  $("stage").classList.toggle("adding", adding);
  showCrop(row);
  showNote(row);
  showViewpoint(row);
  $("name").textContent = row.image;
  $("name").title = row.image;
  showVerdict(row);
  showHeld(row);
  $("problem").textContent = whyNot(row);
  $("problem").hidden = !whyNot(row);
  fill("flags", row.flags, ([name]) => textItem(name));
  fill("reasons", row.reasons, textItem);
  showFacts(row);
  showIndividual();
  if (isSeveral()) {
    const isOutlined = (box) => boxes.some((other) => sameBox(other, box));
    fill("candidates", boxes, animalItem);
    for (const other of row.candidates) if (!isOutlined(other.box)) $("candidates").append(candidateItem(other, -1));
  } else {
    fill("candidates", row.candidates, candidateItem);
    const draft = state.drafts.of(row);
    if (draft) $("candidates").prepend(draftItem(draft[0]));
  }
  $("take-label").textContent = takeWords(row);
  $("take").disabled = !isAllowed(taken());
  $("whole").disabled = !isAllowed("whole");
  $("reject").disabled = !isAllowed("rejected");
  $("unsure").disabled = !isAllowed("unsure");
  $("another").disabled = !isAllowed("box");
  $("another").setAttribute("aria-pressed", String(adding));
  $("drop").hidden = !isSeveral();
  $("drop").disabled = !isAllowed("box") || boxes.length < 2 || picked < 0;
  preview(drawing.selected);
}

// A box that is not taken yet, and what others said meanwhile.
function showHeld(row) {
  const draft = state.drafts.of(row);
  const words = [
    state.meanwhile ? `Another tab says meanwhile: ${state.meanwhile}. What you drew stays: Enter takes it, Esc drops it.` : "",
    draft && !sameBoxes(draft, state.chosen.boxes) ? "Esc goes back to what you drew." : "",
    state.adding ? "Draw or click another animal; Esc stops." : "",
  ];
  $("held").textContent = words.filter(Boolean).join(" ");
  $("held").hidden = !words.some(Boolean);
}

export function showDrafts() {
  $("drafts").hidden = !state.drafts.size;
  $("drafts-count").textContent = state.drafts.size.toLocaleString("en");
  $("drafts").setAttribute("aria-label", state.drafts.size === 1
    ? "Go to the photo with a drawn box that is not taken"
    : `Go to the next of ${numeral(state.drafts.size)} photos with a drawn box that is not taken`);
}

function takeWords(row) {
  if (state.picture === "none") return isAllowed("accepted") ? "Accept the crop as it is" : "Accept";
  if (state.chosen.kind === "whole") return "Whole photo";
  const { kind, boxes } = state.chosen;
  if (kind === "box") return `Take ${isSeveral() ? animals(boxes.length) : nameOf(boxes[0])}`;
  if (boxes.length > 1) return `Accept ${animals(boxes.length)}`;
  if (boxes.length) return "Accept the detector's box";
  return `Accept: no animal, ${state.session.not_found === "skip" ? "no crop" : "whole photo"}`;
}

// The way to the other photos of the same animal.
function showIndividual() {
  const { individual } = state.view;
  $("individual").hidden = !individual || individual.photos < 2;
  if (individual) $("individual-label").textContent = `All ${individual.photos.toLocaleString("en")} photos of ${individual.name}`;
}

// What is being written stays as it is; else the note that is saved.
function showNote(row) {
  const note = $("note");
  const draft = state.drafts.noteOf(row);
  note.maxLength = state.session.longest_note;
  note.classList.toggle("draft", Boolean(draft));
  const text = draft ? draft.text : row.note;
  const isWritten = document.activeElement === note && note.dataset.id === row.id;
  if (!isWritten && note.value !== text) note.value = text;
  note.dataset.id = row.id;
  note.disabled = !row.may.length || !row.width;
}

function showViewpoint(row) {
  for (const button of $("viewpoint").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.viewpoint === row.viewpoint));
    button.disabled = !isSeen();
  }
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
  const facts = [...row.labels];
  if (row.suspicion !== null) facts.push(["suspicion", row.suspicion.toFixed(2)]);
  if (row.presence !== null) facts.push(["presence", row.presence.toFixed(2)]);
  if (row.found_by) facts.push(["found by", row.found_by]);
  if (row.width) facts.push(["photo", `${row.width}\u00a0×\u00a0${row.height}`]); // a failed one may have no size
  const parts = facts.flatMap(([name, value], i) => {
    const bold = document.createElement("b");
    bold.textContent = value;
    return [`${i ? " · " : ""}${name} `, bold];
  });
  $("facts").replaceChildren(...parts);
}

export function fill(id, items, make) {
  $(id).replaceChildren(...items.map(make));
}

function textItem(words) {
  const item = document.createElement("li");
  item.textContent = words;
  return item;
}

function candidateItem(candidate, i) {
  const kind = candidate.own ? "own" : candidate.eligible ? "eligible" : "weak";
  const parts = [["number", i < 0 ? "+" : i < 9 ? `${i + 1}` : "·"], ...partsOfFound(candidate)];
  const item = boxItem(candidate.box, kind, parts);
  if (candidate.own) item.firstChild.title = "the detector's choice";
  else if (!candidate.eligible) item.firstChild.title = "below --conf, or of a class that was not asked for";
  return item;
}

function partsOfFound(found) {
  return [["class", found.class], ...(found.score === null ? [] : [["score", found.score.toFixed(2)]])];
}

function animalItem(box, i) {
  const found = state.view.row.candidates.find((candidate) => sameBox(candidate.box, box));
  const number = ["number", String(i + 1)];
  const parts = [number, ...(found ? partsOfFound(found) : [["class", "drawn"]])];
  const [left, top, right, bottom] = box;
  if (Math.min(right - left, bottom - top) < state.session.min_side) parts.push(["score", "too small"]);
  return boxItem(box, found && found.own ? "own" : "drawn", parts, i === state.picked);
}

function draftItem(box) {
  return boxItem(box, "drawn", [["number", "✎"], ["class", "drawn box, not taken yet"]]);
}

function boxItem(box, kind, parts, pressed = pickedBox() !== null && sameBox(box, pickedBox())) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.className = kind;
  button.disabled = !isAllowed("box");
  button.setAttribute("aria-pressed", String(pressed));
  for (const [name, words] of parts) {
    const part = document.createElement("span");
    part.className = name;
    part.textContent = words;
    button.append(part);
  }
  button.addEventListener("click", () => handlers.clicked(box));
  item.append(button);
  return item;
}

// What the crop will look like; box null is the whole photo.
function preview(box) {
  const { row } = state.view;
  if (!row) return;
  const whole = [0, 0, row.width, row.height];
  const rectangle = box ? cropRectangle(box, state.session, row.width, row.height) : whole;
  const canvas = $("preview");
  const paint = canvas.getContext("2d");
  const [crop, picture] = placeInSquare(rectangle, state.session)
    .map((place) => place.map((share) => share * canvas.width));
  paint.clearRect(0, 0, canvas.width, canvas.height);
  paint.fillStyle = "#000";
  paint.fillRect(...crop);
  const photo = $("photo");
  const ready = photo.complete && photo.naturalWidth && !photo.classList.contains("waiting");
  if (ready) {
    const ratio = photo.naturalWidth / row.width;
    const [x1, y1, x2, y2] = rectangle.map((edge) => edge * ratio);
    paint.imageSmoothingQuality = "high";
    paint.drawImage(photo, x1, y1, x2 - x1, y2 - y1, ...picture);
    tiles.paintInto(paint, rectangle, picture);
  }
  const size = `${rectangle[2] - rectangle[0]} × ${rectangle[3] - rectangle[1]} px`;
  $("preview-caption").textContent = `${box ? "outlined" : "whole photo"}: ${size}`;
}

for (const picture of [$("crop"), $("instead-crop")]) {
  for (const how of ["load", "error"]) {
    picture.addEventListener(how, () => {
      picture.classList.remove("waiting");
      markBusy();
    });
  }
}
