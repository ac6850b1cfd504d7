// Chooses a folder of the server in a dialog: crumbs, subfolders with their photos, a new folder.

import { get, once, post } from "./api.js";
import { $, make } from "./dom.js";
import { counted } from "./words.js";

const PLACE = "detic-crop folder";

// Resolves to the folder that was chosen, or to null.
export async function choose({ title, start, take = "Take this folder", canMake = false, fits = () => "" }) {
  const dialog = $("chooser");
  return new Promise((resolve) => {
    const chooser = new Chooser(dialog, { title, take, canMake, fits, done: (folder) => { dialog.close(); resolve(folder); } });
    dialog.addEventListener("close", () => resolve(null), { once: true });
    dialog.showModal();
    chooser.begin(start);
  });
}

class Chooser {
  constructor(dialog, { title, take, canMake, fits, done }) {
    Object.assign(this, { fits });
    this.crumbs = make("nav", { className: "crumbs", "aria-label": "Where you are" });
    this.filter = make("input", { type: "search", placeholder: "type to find a folder here", "aria-label": "Find a folder here", autocomplete: "off", oninput: () => this.list() });
    this.folders = make("ul", { className: "folders", "aria-label": "Folders" });
    this.problem = make("p", { className: "problem", role: "alert", hidden: true });
    this.about = make("p", { className: "soft" });
    this.take = make("button", { type: "button", className: "main", onclick: () => done(this.here) }, take);
    this.name = make("input", { "aria-label": "Name of a new folder", placeholder: "new folder", autocomplete: "off" });
    const newFolder = make("form", { className: "row", onsubmit: (event) => { event.preventDefault(); this.make(); } },
      this.name, make("button", {}, "Make it"));
    dialog.replaceChildren(
      make("div", { className: "chooser-head" }, make("h2", { id: "chooser-title" }, title), this.crumbs, this.filter),
      this.folders,
      make("div", { className: "chooser-foot" }, this.problem, this.about, canMake && newFolder,
        make("div", { className: "row" }, this.take, make("button", { type: "button", onclick: () => dialog.close() }, "Cancel"))),
    );
    this.folders.addEventListener("keydown", (event) => this.onKey(event));
    this.filter.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" || event.key === "Enter") this.folders.querySelector("button")?.focus();
      else return;
      event.preventDefault();
    });
  }

  async begin(start) {
    const last = start || localStorage.getItem(PLACE);
    if (last && await this.open(last, true)) return;
    const { roots } = await once("about");
    await this.open(roots[0].query);
  }

  async open(query, quietly = false) {
    let folder;
    try {
      folder = await get(`folders?${query}`);
    } catch (error) {
      if (!quietly) this.complain(error.message);
      return false;
    }
    this.here = folder;
    this.problem.hidden = true;
    localStorage.setItem(PLACE, folder.query);
    this.filter.value = "";
    await this.showCrumbs(folder);
    this.list();
    const why = this.fits(folder);
    this.take.disabled = Boolean(why);
    this.about.textContent = why || `${counted(folder.photos, "photo")} in ${folder.name}${folder.is_output ? "; it holds crops of detic-crop" : ""}`;
    this.folders.scrollTop = 0;
    (this.folders.querySelector("button") || this.take).focus();
    return true;
  }

  // From the root down; the API knows what is above each.
  async showCrumbs(folder) {
    const { roots } = await once("about");
    const root = roots.find(({ path }) => folder.path === path || folder.path.startsWith(path.replace(/[/\\]*$/, "/")) || folder.path.startsWith(`${path}\\`));
    const crumbs = roots.length > 1 ? roots.filter((other) => other !== root).map(({ path, query }) => this.crumb(path, query)) : [];
    if (root && folder.path !== root.path) crumbs.push(this.crumb(root.path, root.query));
    if (folder.above && (!root || folder.above !== root.query)) crumbs.push(make("span", {}, "…"), this.crumb("↑ up", folder.above));
    this.crumbs.replaceChildren(...crumbs, make("span", { "aria-current": "page" }, folder.name));
    this.above = folder.above;
  }

  crumb(words, query) {
    return make("button", { type: "button", onclick: () => this.open(query) }, words);
  }

  list() {
    const wanted = this.filter.value.trim().toLowerCase();
    const found = this.here.folders.filter(({ name }) => name.toLowerCase().includes(wanted));
    const rows = found.map((folder) => make("li", {}, make("button", { type: "button", onclick: () => this.open(folder.query) },
      make("span", { className: "name" }, folder.name), make("span", { className: "soft" }, wordsOf(folder)))));
    if (!rows.length) rows.push(make("li", { className: "soft" }, wanted ? "No folder here has that in its name." : "There is no folder in here."));
    if (this.here.more) rows.push(make("li", { className: "soft" }, "There is more than is shown: type a part of the name."));
    this.folders.replaceChildren(...rows);
  }

  onKey(event) {
    const buttons = [...this.folders.querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    if (event.key === "ArrowDown") buttons[Math.min(at + 1, buttons.length - 1)]?.focus();
    else if (event.key === "ArrowUp") (at > 0 ? buttons[at - 1] : this.filter).focus();
    else if (event.key === "Backspace" && this.above) this.open(this.above);
    else return;
    event.preventDefault();
  }

  async make() {
    try {
      const made = await post("folders", { path: this.here.path, name: this.name.value.trim() });
      this.name.value = "";
      await this.open(made.query);
    } catch (error) {
      this.complain(error.message);
    }
  }

  complain(words) {
    this.problem.textContent = words;
    this.problem.hidden = false;
  }
}

function wordsOf(folder) {
  if (folder.is_output) return "crops";
  return folder.photos ? counted(folder.photos, "photo") : "";
}
