// The screen to begin a run on: which photos, where to, with which model.

import { get, once, post } from "./api.js";
import { choose, contentsOf, isEmpty } from "./chooser.js";
import { make, newId } from "./dom.js";
import { jobsNow, refresh } from "./jobs.js";
import { Choice, Settings } from "./settings.js";
import { nameOf, plain, withoutEnd } from "./words.js";

const SIZES = ["256", "384", "512", "640", "768", "1024"];
const IN_FORM = new Set(["labels", "model", "size"]);

export async function showStart(screen, query) {
  const [commands, models] = await Promise.all([once("commands"), get("models"), refresh()]);
  const form = new Start(commands.find(({ name }) => name === "run"), models);
  screen.replaceChildren(make("h1", {}, "Crop photos"), form.element);
  const given = new URLSearchParams(query);
  const model = given.get("model");
  if (model) form.model.value = model;
  if (given.has("job")) await form.repeat(await get(`jobs/${given.get("job")}`));
}

class Start {
  constructor(command, { installed, kinds }) {
    this.photos = null;
    this.output = "";
    this.photosName = make("span", { className: "name soft" }, "none chosen yet");
    this.outputName = make("span", { className: "name soft" }, "beside the photos");
    this.problem = make("p", { className: "problem", role: "alert", hidden: true });
    this.plan = make("p", { className: "soft" });
    this.start = make("button", { className: "main", disabled: true }, "Start");
    this.photosButton = make("button", { type: "button", className: "main", onclick: () => this.choosePhotos() }, "Choose a folder …");
    this.outputButton = make("button", { type: "button", disabled: true, onclick: () => this.chooseOutput() }, "Change …");
    this.labels = make("select", { id: newId("labels"), onchange: () => this.say() });
    this.labelsField = make("div", { className: "field", hidden: true },
      make("label", { htmlFor: this.labels.id }, "Table of labels"), this.labels,
      make("p", { className: "soft" }, "Species, individuals … of each photo, in a table that names the photos. Its rows come back in audit.csv; photos that it does not name are left out."));
    this.model = new Choice("What finds the animals", modelsOf(installed),
      { words: "another …", called: "Other model", example: "onnx:FILE", hint: `One of ${kinds.flatMap(({ forms }) => forms).join(", ")}. Files lie in the folders that can be chosen here.` }, () => this.say());
    if (!installed.some(({ name }) => name.startsWith("detic"))) {
      this.model.element.append(make("p", { className: "soft" }, "Only the small model is here. A larger one is downloaded in a terminal: ", make("code", {}, "detic-crop weights pull detic-swinb"), ", then reload this page."));
    }
    this.size = new Choice("Size of the crops", SIZES.map((size) => [size, `${size} × ${size} px`]),
      { words: "another …", called: "Other size", example: "long:1600", hint: "384x768 (width x height), long:1600 (longest side) or native (as in the photo)." }, () => this.say());
    this.size.value = "512";
    this.more = new Settings(command, ({ name }) => !IN_FORM.has(name));
    this.element = make("form", { onsubmit: (event) => { event.preventDefault(); this.begin(); } },
      make("div", { className: "field" }, make("strong", {}, "Photos"), make("div", { className: "chosen" }, this.photosName, this.photosButton)),
      make("div", { className: "field" }, make("strong", {}, "The crops go to"), make("div", { className: "chosen" }, this.outputName, this.outputButton)),
      this.labelsField, this.model.element, this.size.element,
      make("details", {}, make("summary", {}, "More settings"), this.more.element),
      this.problem, this.plan, make("div", { className: "row" }, this.start),
    );
  }

  // The form as it was when a job was started.
  async repeat({ input, output, settings, input_query: query }) {
    await this.take(await get(`folders?${query}`));
    this.output = output;
    if (settings.model) this.model.value = settings.model;
    if (settings.size) this.size.value = String(settings.size);
    if (settings.labels && ![...this.labels.options].some(({ value }) => value === settings.labels)) this.addTable(nameOf(settings.labels), settings.labels);
    this.labels.value = settings.labels || "";
    this.more.set(settings);
    this.more.element.parentElement.open = Object.keys(this.more.values()).length > 0;
    await this.lookAtOutput();
  }

  async choosePhotos() {
    const folder = await choose({ title: "Which photos?", start: this.photos && this.photos.query, take: "Take these photos",
      fits: (here) => (here.is_output ? `${here.name} holds crops, not photos.` : isEmpty(here) ? `There are no photos in ${here.name}.` : "") });
    if (!folder) return;
    await this.take(folder);
    (this.start.disabled ? this.outputButton : this.start).focus();
  }

  async take(folder) {
    this.photos = folder;
    this.photosName.textContent = folder.path;
    this.photosName.classList.remove("soft");
    this.photosButton.className = "";
    this.photosButton.textContent = "Change …";
    this.photosButton.setAttribute("aria-label", "Choose another folder of photos");
    this.outputButton.disabled = false;
    this.outputButton.setAttribute("aria-label", "Choose another folder for the crops");
    const path = withoutEnd(folder.path);
    // Beside the photos; inside where nothing beside them can be chosen.
    this.output = folder.above ? `${path}_cropped` : `${path}${path.includes("\\") ? "\\" : "/"}cropped`;
    this.labelsField.hidden = true;
    this.labels.replaceChildren(make("option", { value: "" }, "none"));
    for (const { name, path: table } of folder.tables) this.addTable(name, table);
    const named = folder.tables.filter(({ name }) => /label/i.test(name));
    if (named.length === 1) this.labels.value = named[0].path;
    await this.lookAtOutput();
  }

  addTable(name, path) {
    this.labels.append(make("option", { value: path }, name));
    this.labelsField.hidden = false;
  }

  async chooseOutput() {
    const folder = await choose({ title: "Where do the crops go?", start: this.photos.above || this.photos.query, take: "Put the crops here", canMake: true,
      fits: (here) => (here.path === this.photos.path ? "The photos are here: choose or make another folder." : here.above ? "" : "Choose or make a folder in here.") });
    if (!folder) return;
    this.output = folder.path;
    await this.lookAtOutput();
  }

  // Whether there are crops already where they shall go.
  async lookAtOutput() {
    const { output } = this;
    this.hasCrops = false;
    this.say();
    const above = output.replace(/[/\\][^/\\]*$/, "");
    try {
      const { folders } = above === this.photos.path ? this.photos : await get(`folders?path=${encodeURIComponent(above)}`);
      this.hasCrops = output === this.output && folders.some(({ path, is_output: isOutput }) => isOutput && path === output);
    } catch { // Start says what is wrong with it
    }
    this.say();
  }

  say() {
    this.problem.hidden = true;
    this.start.disabled = !this.photos;
    if (!this.photos) return;
    this.outputName.textContent = this.output;
    this.outputName.classList.remove("soft");
    const size = /^\d+$/.test(this.size.value) ? `${this.size.value} × ${this.size.value} px` : this.size.value;
    const kept = this.hasCrops ? ` ${nameOf(this.output)} holds crops already: they are kept, and photos without are done.` : "";
    this.plan.textContent = `${contentsOf(this.photos)} → crops of ${size} in ${nameOf(this.output)}. Your photos are not touched.${kept}`;
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
      this.problem.textContent = plain(error.message);
      this.problem.hidden = false;
      this.start.disabled = false;
    }
  }
}

// Pairs of a name and its words; what was taught here may lie deeper than the server looks for it.
function modelsOf(installed) {
  const best = installed.find(({ is_auto: isAuto }) => isAuto);
  const taught = jobsNow().filter(({ command, state }) => command === "teach" && state === "done").map(({ output }) => `lite:${output}`);
  const names = [...new Set([...installed.filter(({ name }) => name.startsWith("lite:")).map(({ name }) => name), ...taught])];
  return [
    ["", `the best that is installed${best ? ` (${best.name})` : ""}`],
    ...installed.filter(({ name }) => !name.startsWith("lite:")).map(({ name, about }) => [name, `${name}: ${about}`]),
    ...names.map((name) => [name, `taught from a review: ${nameOf(name).replace(/\.safetensors$/, "")}`]),
  ];
}
