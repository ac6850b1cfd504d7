// The screen to begin a run on: which photos, where to, with which model.

import { get, once, post } from "./api.js";
import { choose } from "./chooser.js";
import { make, newId } from "./dom.js";
import { refresh } from "./jobs.js";
import { Settings } from "./settings.js";
import { counted, nameOf } from "./words.js";

const SIZES = ["256", "384", "512", "640", "768", "1024"];
const IN_FORM = new Set(["labels", "model", "size"]);

export async function showStart(screen, query) {
  const [commands, models] = await Promise.all([once("commands"), get("models")]);
  const form = new Start(commands.find(({ name }) => name === "run"), models);
  screen.replaceChildren(make("h1", {}, "Crop photos"), form.element);
  const given = new URLSearchParams(query);
  const model = given.get("model");
  if (model) form.model.value = model;
  if (given.has("path")) await form.take(await get(`folders?${query}`));
}

class Start {
  constructor(command, { installed }) {
    this.photos = null;
    this.output = "";
    this.photosName = make("span", { className: "name soft" }, "none chosen yet");
    this.outputName = make("span", { className: "name soft" }, "beside the photos");
    this.problem = make("p", { className: "problem", role: "alert", hidden: true });
    this.plan = make("p", { className: "soft" });
    this.start = make("button", { className: "main", disabled: true }, "Start");
    this.outputButton = make("button", { type: "button", disabled: true, onclick: () => this.chooseOutput() }, "Change …");
    this.labels = make("select", { id: newId("labels"), onchange: () => this.say() });
    this.labelsField = make("div", { className: "field", hidden: true },
      make("label", { htmlFor: this.labels.id }, "Table of labels"), this.labels,
      make("p", { className: "soft" }, "Species, individuals … of each photo, in a table that names the photos. Its rows come back in audit.csv."));
    this.model = make("select", { id: newId("model"), onchange: () => this.say() }, make("option", { value: "" }, automatic(installed)),
      installed.map(({ name, about }) => make("option", { value: name }, `${shownModel(name)}: ${about}`)));
    this.size = make("select", { id: newId("size"), onchange: () => this.say() }, SIZES.map((size) => make("option", { value: size }, `${size} × ${size} px`)));
    this.size.value = "512";
    this.more = new Settings(command, ({ name }) => !IN_FORM.has(name));
    this.element = make("form", { onsubmit: (event) => { event.preventDefault(); this.begin(); }, noValidate: false },
      make("div", { className: "field" }, make("strong", {}, "Photos"), make("div", { className: "chosen" }, this.photosName,
        make("button", { type: "button", className: "main", onclick: () => this.choosePhotos() }, "Choose a folder …"))),
      make("div", { className: "field" }, make("strong", {}, "The crops go to"), make("div", { className: "chosen" }, this.outputName, this.outputButton)),
      this.labelsField,
      make("div", { className: "field" }, make("label", { htmlFor: this.model.id }, "What finds the animals"), this.model),
      make("div", { className: "field" }, make("label", { htmlFor: this.size.id }, "Size of the crops"), this.size),
      make("details", {}, make("summary", {}, "More settings"), this.more.element),
      this.problem, this.plan, make("div", { className: "row" }, this.start),
    );
  }

  async choosePhotos() {
    const folder = await choose({ title: "Which photos?", start: this.photos && this.photos.query, take: "Take these photos",
      fits: (here) => (here.is_output ? `${here.name} holds crops, not photos.` : "") });
    if (folder) await this.take(folder);
  }

  async take(folder) {
    this.photos = folder;
    this.photosName.textContent = folder.path;
    this.photosName.classList.remove("soft");
    this.output = `${folder.path.replace(/[/\\]+$/, "")}_cropped`;
    this.outputButton.disabled = false;
    this.labelsField.hidden = !folder.tables.length;
    this.labels.replaceChildren(make("option", { value: "" }, "none"), ...folder.tables.map(({ name, path }) => make("option", { value: path }, name)));
    this.say();
    this.start.focus();
  }

  async chooseOutput() {
    const folder = await choose({ title: "Where do the crops go?", start: this.photos.above || this.photos.query, take: "Put the crops here", canMake: true,
      fits: (here) => (here.path === this.photos.path ? "The photos are here: choose or make another folder." : "") });
    if (!folder) return;
    this.output = folder.path;
    this.say();
  }

  say() {
    this.problem.hidden = true;
    this.start.disabled = !this.photos;
    if (!this.photos) return;
    this.outputName.textContent = this.output;
    this.outputName.classList.remove("soft");
    const photos = this.photos.photos || this.photos.folders.length
      ? `${this.photos.photos ? counted(this.photos.photos, "photo") : "The photos"} of ${this.photos.name}${this.photos.folders.length ? " and its folders" : ""}`
      : `${this.photos.name} has no photos`;
    this.plan.textContent = `${photos} → crops of ${this.size.value} × ${this.size.value} px in ${nameOf(this.output)}. Your photos are not touched.`;
  }

  async begin() {
    this.start.disabled = true;
    const settings = this.more.values();
    if (this.model.value) settings.model = this.model.value;
    if (this.size.value !== "512") settings.size = this.size.value;
    if (this.labels.value) settings.labels = this.labels.value;
    try {
      const job = await post("jobs", { command: "run", input: this.photos.path, output: this.output, settings });
      await refresh();
      location.hash = `folder?${job.folder_query}`;
    } catch (error) {
      this.problem.textContent = error.message;
      this.problem.hidden = false;
      this.start.disabled = false;
    }
  }
}

function shownModel(name) {
  return name.startsWith("lite:") ? `your taught ${nameOf(name)}` : name;
}

function automatic(installed) {
  const best = installed.find(({ is_auto: isAuto }) => isAuto);
  return `the best that is installed${best ? ` (${best.name})` : ""}`;
}
