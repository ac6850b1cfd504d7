// The screen of one output folder: its jobs, what it has to show, what is next.

import { get, once, post } from "./api.js";
import { make } from "./dom.js";
import { Export } from "./export.js";
import { JobCard } from "./job.js";
import { isAtWork, refresh, watch } from "./jobs.js";
import { stripOf } from "./pictures.js";
import { counted, nameOf, plain, thousands, withoutEnd } from "./words.js";

const REVIEWER = "detic-crop reviewer";
const STATUS = { cropped: "cropped", resized: "whole photo", skipped: "no crop", rejected: "rejected", failed: "failed" };

export async function showFolder(screen, query) {
  const folder = new Folder(screen, query);
  await folder.begin();
  return folder;
}

class Folder {
  constructor(screen, query) {
    this.query = query;
    this.cards = new Map();
    this.jobs = make("div");
    this.result = make("div");
    this.pictures = make("div");
    this.reviewer = make("input", { "aria-label": "Your name, noted with each verdict", value: localStorage.getItem(REVIEWER) || "", maxLength: 200, autocomplete: "name" });
    this.exporting = make("div"); // a form that is open stays when the rest is shown anew
    this.taught = "";
    this.looks = 0;
    this.problem = make("p", { className: "problem", role: "alert", hidden: true });
    this.heading = make("h1", {}, nameOf(new URLSearchParams(query).get("path") || ""));
    this.path = make("p", { className: "soft name" });
    screen.replaceChildren(this.heading, this.path, this.jobs, this.problem, this.result);
  }

  async begin() {
    const { reviewer } = await once("about");
    this.reviewer.placeholder = `your name (else ${reviewer})`;
    watch((jobs) => this.showJobs(jobs));
    await refresh();
    await this.read();
  }

  renew() {
    this.read();
  }

  showJobs(all) {
    const mine = all.filter((job) => job.folder_query === this.query);
    const shown = mine.filter((job, i) => i === 0 || isAtWork(job));
    for (const job of shown) {
      if (this.cards.has(job.id)) this.cards.get(job.id).show(job);
      else this.cards.set(job.id, new JobCard(job, { onchange: () => this.read() }));
    }
    for (const id of this.cards.keys()) if (!shown.some((job) => job.id === id)) this.cards.delete(id);
    const elements = shown.map(({ id }) => this.cards.get(id).element);
    if (elements.length !== this.jobs.children.length || elements.some((element, i) => this.jobs.children[i] !== element)) {
      this.jobs.replaceChildren(...elements);
    }
    const hasNew = this.last && mine[0] && mine[0].id !== this.last.id;
    this.last = mine[0];
    const taught = mine.find((job) => job.command === "teach" && job.state === "done");
    this.taught = taught ? taught.output : "";
    // Begun in another tab: the review page has a button to apply. And its verdicts come while no job is at work.
    if (hasNew || (this.shown && !mine.some(isAtWork))) this.read();
  }

  async read() {
    this.looks += 1;
    const mine = this.looks;
    try {
      const found = await get(`results?${this.query}`);
      if (mine === this.looks) this.show(found);
    } catch (error) {
      if (mine !== this.looks || error.code === "offline" || error.code === "gone") return;
      this.shown = "";
      this.result.replaceChildren();
      this.complain(plain(error.message));
    }
  }

  show(found) {
    this.problem.hidden = true;
    const shown = JSON.stringify([found, this.taught]);
    if (shown === this.shown) return;
    this.shown = shown;
    this.found = found;
    this.path.textContent = found.path;
    const focused = document.activeElement;
    const counts = Object.keys(STATUS).map((status) => [status, found.counts[status]]).filter(([, number]) => number);
    if (counts.length) this.showResult(counts);
    else this.result.replaceChildren(found.jobs.length ? "" : make("p", { className: "soft" }, "There are no crops in this folder."));
    if (this.result.contains(focused)) focused.focus();
  }

  showResult(counts) {
    const { found } = this;
    const tiles = counts.map(([status, number]) => tile(STATUS[status] || status, number));
    if (found.reviewed) tiles.push(tile("reviewed", found.reviewed));
    else if (found.flagged) tiles.push(tile("to look at", found.flagged)); // as the run left them
    const first = found.next.length ? found.next[0].action : "";
    const steps = [this.look(), this.review(), this.apply(), this.export(), this.teach()].filter(Boolean);
    for (const step of steps) if (step.dataset.step === first) step.classList.add("next");
    this.result.replaceChildren(make("dl", { className: "counts" }, tiles), this.pictures, make("h2", {}, "What next"), make("ul", { className: "steps" }, steps));
    this.showPictures();
  }

  // While a run goes on they would change with every look.
  async showPictures() {
    if (!this.found.has_audit) return;
    try {
      this.pictures.replaceChildren(await stripOf(this.found.query));
    } catch {
      this.pictures.replaceChildren();
    }
  }

  step(name, title, words, ...controls) {
    return make("li", { "data-step": name }, make("h3", {}, title), make("p", {}, words), make("div", { className: "row" }, controls));
  }

  look() {
    if (!this.found.has_audit) return null;
    return this.step("look", "Look", "The crops that are most likely wrong, on one page that you can mail.",
      make("a", { className: "button", href: `api/v1/audit?${this.found.query}`, target: "_blank", rel: "noopener" }, "Open audit.html"));
  }

  review() {
    const { counts, flagged, reviewed } = this.found;
    const photos = Object.values(counts).reduce((sum, number) => sum + number, 0);
    const much = reviewed ? `; ${thousands(reviewed)} of ${counted(photos, "photo")} reviewed` : flagged ? `; ${counted(flagged, "crop")} to look at` : "";
    return this.step("review", "Review", `Judge the crops, most suspicious first${much}. It opens in a tab of its own, and each verdict is saved at once.`,
      this.reviewer, make("button", { type: "button", className: "main", onclick: () => this.openReview() }, "Review"));
  }

  async openReview() {
    const reviewer = this.reviewer.value.trim();
    localStorage.setItem(REVIEWER, reviewer);
    const tab = window.open("about:blank", "_blank");
    try {
      const { address } = await post("reviews", { path: this.found.path, reviewer });
      const url = new URL(`${address}#from=${encodeURIComponent(this.query)}`, document.baseURI).href;
      if (tab) tab.location = url;
      else location.href = url;
    } catch (error) {
      if (tab) tab.close();
      this.complain(plain(error.message));
    }
  }

  apply() {
    const { waiting } = this.found;
    if (!waiting) return null;
    return this.step("apply", "Apply", `${counted(waiting, "verdict")} of the review ${waiting === 1 ? "waits" : "wait"}: the crops will follow.`,
      this.button("Apply", () => this.order("apply", {})));
  }

  teach() {
    if (this.found.reviewed < 5) return null;
    const output = `${withoutEnd(this.found.path)}_taught.safetensors`;
    return this.step("teach", "Teach", "Let the small model learn from what you said. It measures whether that helps, which takes minutes; if it does not, nothing is written.",
      this.button("Teach", () => this.order("teach", { output })),
      this.taught && make("a", { className: "button", href: `#new?model=${encodeURIComponent(`lite:${this.taught}`)}` }, "Use it for the next run"));
  }

  export() {
    const open = this.button(this.form ? "Close" : "Choose a format …", () => this.toggleExport(open));
    const step = this.step("export", "Export", "Write what the next program reads: a trainer, Kaggle, Wildbook, a spreadsheet …", open);
    step.append(this.exporting);
    return step;
  }

  async toggleExport(button) {
    if (this.form) {
      this.form = null;
      this.exporting.replaceChildren();
      button.textContent = "Choose a format …";
      return;
    }
    try {
      const [commands, formats] = await Promise.all([once("commands"), once("exports")]);
      this.form = new Export(commands.find(({ name }) => name === "export"), formats, this);
    } catch (error) {
      this.complain(plain(error.message));
      return;
    }
    button.textContent = "Close";
    this.exporting.replaceChildren(this.form.element);
    this.form.to.focus();
  }

  button(words, onclick) {
    return make("button", { type: "button", onclick }, words);
  }

  async order(command, { output = null, settings = {} }) {
    try {
      const { id } = await post("jobs", { command, input: this.found.path, output, settings });
      await refresh();
      this.cards.get(id)?.focus();
    } catch (error) {
      this.complain(plain(error.message));
    }
  }

  complain(words) {
    this.problem.textContent = words;
    this.problem.hidden = false;
    this.problem.scrollIntoView({ block: "nearest" });
  }
}

function tile(words, number) {
  return make("div", {}, make("dt", {}, words), make("dd", {}, thousands(number)));
}
