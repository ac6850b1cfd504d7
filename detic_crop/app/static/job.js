// One job: its bar, what it said, what can be done with it.

import { get, post, remove } from "./api.js";
import { announce, make } from "./dom.js";
import { isAtWork, refresh } from "./jobs.js";
import { figuresOf, isNoHelp, notesOf, plain, stateOf, titleOf } from "./words.js";

// What the others say when they are done, the counts of the folder show as well.
const SAYS_MORE = new Set(["audit", "export", "teach"]);
const NOTES_OF = new Set(["run", "recrop", "apply"]);
const MOST_NOTES = 8;
const MAY = { stop: "Stop", continue: "Continue" };

export class JobCard {
  constructor(job, { heading = "h2", onchange = () => {} } = {}) {
    this.bar = make("progress", { className: "bar", max: 1, "aria-label": "Progress" });
    this.figures = make("p", { className: "figures" });
    this.said = make("p", { hidden: true });
    this.buttons = make("div", { className: "row" });
    this.notes = make("ul", { className: "notes soft", hidden: true });
    this.title = make(heading, { tabIndex: -1 }, titleOf(job));
    this.log = make("pre", { className: "log", tabIndex: 0 });
    this.forget = make("button", { type: "button", onclick: () => this.act("remove") }, "Remove from the list");
    this.details = make("details", { ontoggle: () => this.readLog() }, make("summary", {}, "What it printed"), this.log, this.forget);
    this.element = make("section", { className: "card" }, this.title, this.bar, this.figures, this.said, this.notes, this.buttons, this.details);
    this.onchange = onchange;
    this.show(job);
  }

  show(job) {
    const before = this.job;
    this.job = job;
    const { progress, state } = job;
    this.bar.hidden = !isAtWork(job);
    if (progress && progress.total) this.bar.value = progress.done / progress.total;
    else if (state === "queued") this.bar.value = 0;
    else this.bar.removeAttribute("value");
    const figures = state === "running" && progress ? figuresOf(progress) : stateOf(job);
    this.figures.textContent = figures[0].toUpperCase() + figures.slice(1);
    const isNews = state === "failed" || state === "interrupted" || (state === "done" && SAYS_MORE.has(job.command));
    this.said.hidden = !isNews || !job.message;
    this.said.textContent = plain(job.message);
    this.said.className = isNoHelp(job) ? "soft" : state === "failed" ? "problem" : state === "done" ? "good" : "soft";
    if (!before || before.may.join() !== job.may.join()) this.showButtons(job);
    if (!before || before.state !== state || before.progress?.phase !== progress?.phase) this.readNotes();
    if (before && before.state !== state) {
      announce(`${titleOf(job)}: ${stateOf(job)}. ${job.message}`);
      this.onchange(job);
    }
    if (this.details.open) this.readLog();
  }

  showButtons(job) {
    this.forget.hidden = !job.may.includes("remove");
    const actions = job.may.filter((action) => action in MAY && !(action === "continue" && isNoHelp(job)));
    this.buttons.replaceChildren(...actions.map((action) => make("button", {
      type: "button", className: action === "continue" ? "main" : "", onclick: () => this.act(action),
    }, action === "continue" && job.state === "failed" ? "Try again" : MAY[action])));
    if (job.command === "run" && job.may.includes("continue")) {
      this.buttons.append(make("a", { className: "button", href: `#new?job=${job.id}` }, "Change the settings …"));
    }
  }

  async act(action) {
    for (const button of this.buttons.children) button.disabled = true;
    try {
      if (action === "remove") await remove(`jobs/${this.job.id}`);
      else this.show(await post(`jobs/${this.job.id}/${action}`));
      await refresh();
    } catch (error) {
      this.said.hidden = false;
      this.said.className = "problem";
      this.said.textContent = plain(error.message);
    }
    for (const button of this.buttons.children) button.disabled = false;
  }

  focus() {
    this.title.focus();
    this.element.scrollIntoView({ block: "nearest" });
  }

  // What a person should read without opening what it printed: labels that match no photo, for example.
  async readNotes() {
    if (!NOTES_OF.has(this.job.command)) return;
    try {
      const notes = notesOf(await get(`jobs/${this.job.id}/log?most=200`)).slice(-MOST_NOTES);
      this.notes.replaceChildren(...notes.map((note) => make("li", {}, plain(note))));
      this.notes.hidden = !notes.length;
    } catch { // the next change of the job brings them
    }
  }

  async readLog() {
    if (!this.details.open) return;
    try {
      const lines = (await get(`jobs/${this.job.id}/log?most=200`)).join("\n");
      if (this.log.textContent !== lines) this.log.textContent = lines || "nothing yet";
    } catch (error) {
      this.log.textContent = error.message;
    }
  }
}
