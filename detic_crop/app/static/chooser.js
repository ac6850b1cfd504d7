// Chooses a folder of the server in a dialog: crumbs, subfolders with their photos, a new folder.

import { get, once, post } from "./api.js";
import { $, make } from "./dom.js";
import { counted, plain } from "./words.js";

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
      else if (event.key === "Escape" && this.filter.value) {
        this.filter.value = "";
        this.list();
      } else return;
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
      if (!quietly) this.complain(plain(error.message));
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
    this.about.textContent = why || contentsOf(folder);
    this.folders.scrollTop = 0;
    (this.folders.querySelector("button") || this.take).focus();
    return true;
  }

  // From the root down: each part of the address names one folder more.
  async showCrumbs(folder) {
    const { roots } = await once("about");
    const isIn = ({ query }) => folder.query === query || query.endsWith("/") || /^(\/|%5C)/.test(folder.query.slice(query.length));
    const root = roots.filter(({ query }) => folder.query.startsWith(query)).find(isIn);
    const crumbs = roots.filter((other) => other !== root).map(({ path, query }) => this.crumb(path, query));
    if (root && folder.query !== root.query) {
      crumbs.push(this.crumb(root.path, root.query));
      let query = root.query;
      const parts = folder.query.slice(query.length).split(/(\/|%5C)/).filter(Boolean);
      for (const part of parts.slice(0, -1)) {
        query += part;
        if (part !== "/" && part !== "%5C") crumbs.push("›", this.crumb(textOf(part), query));
      }
      crumbs.push("›");
    }
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
      this.complain(plain(error.message));
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

// Photos in a folder, and as far as they were counted in the folders inside.
export function contentsOf(folder) {
  if (folder.is_output) return `${folder.name} holds crops of detic-crop`;
  const inside = folder.folders.reduce((sum, { photos, is_output: isOutput }) => sum + (isOutput ? 0 : photos || 0), 0);
  // They are counted one level deep, and a run goes as deep as there are folders.
  if (!folder.photos && !inside && !isEmpty(folder)) return `0 photos in ${folder.name} and its folders; deeper ones are not counted`;
  const words = `${folder.more ? "more than " : ""}${counted(folder.photos, "photo")} in ${folder.name}`;
  return inside ? `${words}, ${counted(inside, "photo")} in its folders` : words;
}

// Whether there can be photos in a folder or below it.
export function isEmpty(folder) {
  return !folder.photos && !folder.more && !folder.folders.some(({ is_output: isOutput }) => !isOutput);
}

function textOf(part) {
  try {
    return decodeURIComponent(part);
  } catch { // bytes that are no text
    return part;
  }
}
