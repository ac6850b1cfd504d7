// The card of the end: what was said, what is left, and Apply. It stands in place of the photo.

import { filterBy } from "./finding.js";
import { open, renew } from "./moving.js";
import { timeFor, wordsOfTime } from "./pace.js";
import { leftOf, numeral } from "./progress.js";
import { ask, query } from "./server.js";
import { $, filters, state } from "./state.js";
import { complain, isWell, toast } from "./telling.js";
import { fill, isTyping, showCard, whileComing, wish } from "./view.js";

const WATCH_MS = 500;
const AGAIN_MS = 2000; // where nobody answered
const MOST_FLAGS = 4;
const JSON_POST = { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" };
const WORDS = {
  accepted: "accepted", box: "other box", whole: "whole photo", rejected: "rejected", unsure: "unsure",
};

let overview = null; // what api/overview said last
let looks = 0; // number of times that it was asked for
let shown = 0; // number of that which is shown
let coming = 0; // number of those that are on their way
let watching = false; // Apply is asked how far it is

// Show the card, unless something else was asked for while its counts were on their way.
export async function finish() {
  const isLast = wish();
  const since = state.touched;
  try {
    await whileComing(look);
  } catch (error) {
    complain(error);
    return;
  }
  if (!isLast() || state.touched !== since) return;
  showCard(true);
  if (!isTyping()) $("finish").focus();
  $("finish").scrollTop = 0;
}

export function toggleFinish() {
  if (state.finished) backToPhoto();
  else finish();
}

export function backToPhoto() {
  showCard(false);
}

// What is shown may have changed.
export function lookAgain() {
  if (state.finished || coming) look().catch(complain);
}

// Answers may come in another order; the newest one counts.
async function look() {
  const mine = ++looks;
  coming += 1;
  try {
    const [found, applying] = await Promise.all([ask(`api/overview?${query()}`), ask("api/apply")]);
    if (mine < shown) return;
    shown = mine;
    overview = found;
    showOverview();
    showApplying(applying);
    if (applying.is_running) watch();
  } finally {
    coming -= 1;
  }
}

// ------------------------------------------------------------ counts, and what is left

function showOverview() {
  const { here, left, said, total } = overview;
  const leftHere = leftOf(here);
  $("finish-title").textContent = titleOf(leftHere);
  $("finish-words").textContent = wordsOfRest(left, total, said.unsure);
  $("finish-undo").hidden = !state.given.length;
  const counts = [...Object.entries(WORDS).map(([word, words]) => [word, words, said[word]]), ["left", "not reviewed", left]];
  fill("finish-counts", counts, ([kind, words, count]) => {
    const item = document.createElement("li");
    item.className = kind;
    item.dataset.count = count;
    const number = document.createElement("b");
    number.textContent = numeral(count);
    item.append(number, ` ${words}`);
    return item;
  });
  fill("finish-left", linksOf(leftHere), ([words, go]) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = words;
    button.addEventListener("click", go);
    item.append(button);
    return item;
  });
}

function wordsOfRest(left, total, unsure) {
  if (left) {
    const time = timeFor(left);
    return `${numeral(total - left)} of ${photos(total)} looked at${time ? `; at your pace the rest takes ${time}` : ""}.`;
  }
  return unsure
    ? `All ${photos(total)} looked at; ${numeral(unsure)} of them unsure: they count neither as right nor as wrong.`
    : `All ${photos(total)} have a verdict.`;
}

function titleOf(leftHere) {
  const { left } = overview;
  if (!left) return "Every photo is reviewed";
  if (!leftHere) return filters.size ? "Nothing is left in these filters" : "Nothing is left";
  return state.view && state.view.row && !state.view.next ? "This was the last photo" : "So far";
}

function photos(count) {
  return `${numeral(count)} photo${count === 1 ? "" : "s"}`;
}

function isAre(count) {
  return count === 1 ? "is" : "are";
}

// What can be gone on with: [words, what does it].
function linksOf(leftHere) {
  const { flags, left, noted, said } = overview;
  const links = [];
  const add = (count, words, wanted) => { if (count) links.push([words, () => filterBy(wanted)]); };
  if (leftHere && filters.size) links.push([`${numeral(leftHere)} left in these filters`, () => open(null)]);
  add(left, `${numeral(left)} not reviewed${filters.size ? " in all" : ""}`, { reviewed: "no" });
  for (const [flag, words, count] of flags.slice(0, MOST_FLAGS)) {
    add(count, `${numeral(count)} flagged “${words}” ${isAre(count)} not reviewed`, { flag, reviewed: "no" });
  }
  add(said.unsure, `${numeral(said.unsure)} unsure: look again`, { reviewed: "unsure" });
  add(noted, `${numeral(noted)} with a note`, { reviewed: "note" });
  const { size } = state.drafts;
  if (size) links.push([`✎ ${numeral(size)} not taken: a box or a note`, () => open(state.drafts.after(null))]);
  return links;
}

// ------------------------------------------------------------ Apply

export async function apply() {
  $("apply").disabled = true; // a second click
  try {
    showApplying(await ask("api/apply", JSON_POST));
    watch();
  } catch (error) {
    complain(error);
    watch(); // another tab may have begun, or the answer was lost
  } finally {
    $("apply").disabled = false;
  }
}

// Ask how far it is until it is over; then all that is shown follows.
export async function watch() {
  if (watching) return;
  watching = true;
  try {
    let applying = null;
    while (!applying || applying.is_running) {
      if (applying) await new Promise((go) => setTimeout(go, WATCH_MS));
      applying = await askHowFar();
      showApplying(applying);
    }
    if (applying.edition !== state.session.edition) await renew();
    if (state.finished) await look();
    else toast(applying.error ? `Not applied: ${applying.error}` : applying.lines[0] || "");
  } catch (error) {
    complain(error);
  } finally {
    watching = false;
  }
}

// Again and again where nobody answers: it goes on meanwhile.
async function askHowFar() {
  for (;;) {
    try {
      const applying = await ask("api/apply");
      if (state.offline) isWell();
      return applying;
    } catch (error) {
      complain(error);
      await new Promise((go) => setTimeout(go, AGAIN_MS));
    }
  }
}

function showApplying(applying) {
  const { done, is_running: isRunning, may, phase, total } = applying;
  const waiting = overview ? overview.waiting : 0;
  $("apply").hidden = !may || isRunning || (!waiting && phase !== "failed");
  $("apply").textContent = `Apply ${numeral(waiting)} verdict${waiting === 1 ? "" : "s"}`;
  $("apply-words").replaceChildren(...withCode(wordsBefore(applying, waiting)));
  $("apply-progress").hidden = !isRunning;
  if (phase === "cropping") {
    $("apply-bar").max = Math.max(total, 1);
    $("apply-bar").value = done;
  } else $("apply-bar").removeAttribute("value");
  $("apply-count").textContent = {
    starting: "Looking what is to be done …",
    cropping: `${numeral(done)} of ${numeral(total)}${applying.seconds_left === null ? "" : ` · ${wordsOfTime(applying.seconds_left)} left`}`,
    tables: `${numeral(done)} of ${numeral(total)} · writing the tables …`,
  }[phase] || "";
  $("finish-button").classList.toggle("working", isRunning);
  showResult(applying);
}

function wordsBefore({ may, instead, is_running: isRunning, phase }, waiting) {
  if (!may) {
    return `These verdicts change no crop. Once you are done, \`${instead}\` says how far you agree with the review.`;
  }
  if (isRunning) return "Crops and tables follow the verdicts. You may go on reviewing: what you say now waits for the next time.";
  if (!waiting) return phase === "idle" ? "Every crop follows its verdict: there is nothing to apply." : "";
  return `The crops and tables of these photos follow what was said of them, as \`detic-crop apply\` does it. No photo of yours changes.`;
}

// What stands between ` is a command.
function withCode(words) {
  return words.split("`").map((part, i) => {
    if (i % 2 === 0) return part;
    const code = document.createElement("code");
    code.textContent = part;
    return code;
  });
}

function showResult({ error, is_running: isRunning, lines, problems }) {
  const parts = [];
  if (error && !isRunning) parts.push(paragraph(`Not applied: ${error}`, "alarm"));
  if (!isRunning) for (const [i, line] of lines.entries()) parts.push(paragraph(line, i ? "" : "first"));
  if (problems.length) {
    parts.push(paragraph(`${photos(problems.length)} kept ${problems.length === 1 ? "its" : "their"} earlier crop:`, ""));
    const list = document.createElement("ul");
    for (const [image, why, id] of problems) {
      const item = document.createElement("li");
      const name = document.createElement("button");
      name.type = "button";
      name.textContent = image;
      name.addEventListener("click", () => open(id));
      item.append(name, ` ${why}`);
      list.append(item);
    }
    parts.push(list);
  }
  const said = JSON.stringify([error, lines, problems, isRunning]);
  if ($("apply-result").dataset.said === said) return; // else it would be read out again
  $("apply-result").dataset.said = said;
  $("apply-result").replaceChildren(...parts);
}

function paragraph(words, kind) {
  const made = document.createElement("p");
  made.append(...withCode(words));
  made.className = kind;
  return made;
}

// ------------------------------------------------------------ a run that has gone on

export async function reopen() {
  $("reopen").disabled = true;
  try {
    await ask("api/reopen", JSON_POST);
    await renew();
    lookAgain();
    toast("These are the photos that are finished now.");
  } catch (error) {
    complain(error);
  } finally {
    $("reopen").disabled = false;
  }
}
