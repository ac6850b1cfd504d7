// The screen of one output folder: its jobs, what it has to show, what is next.

import { get, once, post } from "./api.js";
import { choose } from "./chooser.js";
import { make, newId } from "./dom.js";
import { JobCard } from "./job.js";
import { isAtWork, refresh, watch } from "./jobs.js";
import { stripOf } from "./pictures.js";
import { Field } from "./settings.js";
import { counted, nameOf, thousands } from "./words.js";

const REVIEWER = "detic-crop reviewer";
const STATUS = { cropped: "cropped", resized: "nothing found", skipped: "no crop", rejected: "rejected", failed: "failed" };

export async function showFolder(screen, query) {
  await new Folder(screen, query).begin();
}

class Folder {
  constructor(screen, query) {
    this.query = query;
    this.cards = new Map();
    this.jobs = make("div");
    this.result = make("div");
    this.pictures = make("div");
    this.problem = make("p", { className: "problem", role: "alert", hidden: true });
    this.heading = make("h1", {}, nameOf(new URLSearchParams(query).get("path") || ""));
    this.path = make("p", { className: "soft name" });
    screen.replaceChildren(this.heading, this.path, this.jobs, this.problem, this.result);
  }

  async begin() {
    await this.read();
    watch((jobs) => this.showJobs(jobs));
    await refresh();
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
    this.last = mine[0];
  }

  async read() {
    try {
      this.show(await get(`results?${this.query}`));
    } catch (error) {
      if (error.code === "offline") return;
      // A run that has only begun has no folder yet.
      this.problem.hidden = Boolean(this.last && isAtWork(this.last));
      this.problem.textContent = error.message;
      this.result.replaceChildren();
    }
  }

  show(found) {
    this.found = found;
    this.problem.hidden = true;
    this.path.textContent = found.path;
    const counts = Object.entries(found.counts).filter(([, number]) => number);
    if (!counts.length) {
      this.result.replaceChildren();
      return;
    }
    const tiles = counts.map(([status, number]) => make("div", {}, make("dt", {}, STATUS[status] || status), make("dd", {}, thousands(number))));
    if (found.flagged) tiles.push(make("div", {}, make("dt", {}, "to look at"), make("dd", {}, thousands(found.flagged))));
    if (found.reviewed) tiles.push(make("div", {}, make("dt", {}, "reviewed"), make("dd", {}, thousands(found.reviewed))));
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
    const name = make("input", { "aria-label": "Your name, noted with each verdict", placeholder: "your name", value: localStorage.getItem(REVIEWER) || "", maxLength: 200, autocomplete: "name" });
    const open = async () => {
      localStorage.setItem(REVIEWER, name.value.trim());
      const tab = window.open("about:blank", "_blank");
      try {
        const { address } = await post("reviews", { path: this.found.path, reviewer: name.value.trim() });
        if (tab) tab.location = new URL(address, document.baseURI).href;
        else location.href = address;
      } catch (error) {
        if (tab) tab.close();
        this.complain(error.message);
      }
    };
    const { flagged } = this.found;
    return this.step("review", "Review", flagged ? `Judge the crops, most suspicious first; ${counted(flagged, "crop")} to look at.` : "Judge the crops, most suspicious first.",
      name, make("button", { type: "button", className: "main", onclick: open }, "Review"));
  }

  apply() {
    const { waiting } = this.found;
    if (!waiting) return null;
    return this.step("apply", "Apply", `${counted(waiting, "verdict")} of the review ${waiting === 1 ? "waits" : "wait"}: the crops will follow.`,
      this.button("Apply", () => this.order("apply", {})));
  }

  teach() {
    if (this.found.reviewed < 5) return null;
    const output = `${this.found.path.replace(/[/\\]+$/, "")}_taught.safetensors`;
    return this.step("teach", "Teach", "Let the small model learn from what you corrected. It measures whether that helps; if not, nothing is written.",
      this.button("Teach", () => this.order("teach", { output })),
      make("a", { className: "button", href: `#new?model=${encodeURIComponent(`lite:${output}`)}` }, "Use it for the next run"));
  }

  export() {
    const holder = make("div");
    const open = this.button("Choose a format …", async () => {
      open.disabled = true;
      const [commands, formats] = await Promise.all([once("commands"), once("exports")]);
      const form = new Export(commands.find(({ name }) => name === "export"), formats, this);
      holder.replaceChildren(form.element);
      form.to.focus();
    });
    const step = this.step("export", "Export", "Write what the next program reads: a trainer, Kaggle, Wildbook, a spreadsheet …", open);
    step.append(holder);
    return step;
  }

  button(words, onclick) {
    return make("button", { type: "button", onclick }, words);
  }

  async order(command, { output = null, settings = {} }) {
    try {
      await post("jobs", { command, input: this.found.path, output, settings });
      await refresh();
      window.scrollTo({ top: 0 });
    } catch (error) {
      this.complain(error.message);
    }
  }

  complain(words) {
    this.problem.textContent = words;
    this.problem.hidden = false;
    this.problem.scrollIntoView({ block: "nearest" });
  }
}

class Export {
  constructor(command, formats, folder) {
    Object.assign(this, { formats, folder });
    this.to = make("select", { id: newId("format"), onchange: () => this.choose() },
      formats.map(({ name, about }) => make("option", { value: name }, `${name}: ${about}`)));
    this.fields = command.settings.filter(({ name }) => name !== "to").map((setting) => new Field(this.withColumns(setting)));
    this.output = make("input", { id: newId("output"), autocomplete: "off", required: true });
    this.more = make("details", {}, make("summary", {}, "More settings"), make("div", { className: "settings" }, this.fields.map(({ element }) => element)));
    this.element = make("form", { onsubmit: (event) => { event.preventDefault(); this.begin(); } },
      make("div", { className: "field" }, make("label", { htmlFor: this.to.id }, "Format"), this.to),
      make("div", { className: "field" }, make("label", { htmlFor: this.output.id }, "Into the new folder"), this.output),
      this.more, make("div", { className: "row" }, make("button", { className: "main" }, "Export")));
    this.choose();
  }

  // A label column is chosen, not typed.
  withColumns(setting) {
    if (setting.heading !== "Label columns") return setting;
    const { columns } = this.folder.found;
    return { ...setting, type: "choice", choices: setting.name === "label" ? [...columns, "folder"] : columns, unset: "the usual name, if there is one" };
  }

  choose() {
    const { takes } = this.formats.find(({ name }) => name === this.to.value);
    for (const { setting, element } of this.fields) element.hidden = !takes.includes(setting.name);
    this.more.hidden = !takes.length;
    this.output.value = `${this.folder.found.path.replace(/[/\\]+$/, "")}_${this.to.value}`;
  }

  begin() {
    const fields = this.fields.filter((field) => !field.element.hidden && field.isSet());
    const settings = Object.fromEntries([["to", this.to.value], ...fields.map((field) => [field.setting.name, field.value()])]);
    this.folder.order("export", { output: this.output.value, settings });
  }
}
