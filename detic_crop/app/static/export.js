// The form of an export: its format, where to, and what that format takes.

import { make, newId } from "./dom.js";
import { Field } from "./settings.js";
import { withoutEnd } from "./words.js";

export class Export {
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
    this.output.value = `${withoutEnd(this.folder.found.path)}_${this.to.value}`;
  }

  begin() {
    const fields = this.fields.filter((field) => !field.element.hidden && field.isSet());
    const settings = Object.fromEntries([["to", this.to.value], ...fields.map((field) => [field.setting.name, field.value()])]);
    this.folder.order("export", { output: this.output.value, settings });
  }
}
