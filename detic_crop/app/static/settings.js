// A form for the settings of a command, made from what the API says of them.

import { make, newId } from "./dom.js";
import { plainHelp } from "./words.js";

const OTHER = "…";

export class Settings {
  // isShown: which settings have a field here.
  constructor(command, isShown) {
    this.fields = command.settings.filter(isShown).map((setting) => new Field(setting));
    const headings = [...new Set(this.fields.map(({ setting }) => setting.heading))];
    this.element = make("div", {}, headings.map((heading) => make("details", { className: "group" },
      make("summary", {}, heading || "Others"),
      make("div", { className: "settings" }, this.fields.filter(({ setting }) => setting.heading === heading).map(({ element }) => element)))));
  }

  set(values) {
    for (const field of this.fields) if (field.setting.name in values) field.set(values[field.setting.name]);
    for (const group of this.element.children) group.open = this.fields.some((field) => field.isSet() && group.contains(field.element));
  }

  // Only what differs from the default.
  values() {
    return Object.fromEntries(this.fields.filter((field) => field.isSet()).map((field) => [field.setting.name, field.value()]));
  }
}

export class Field {
  constructor(setting) {
    this.setting = setting;
    const id = newId("setting");
    const hint = newId("hint");
    const { type, choices, default: usual, unset } = setting;
    const words = setting.name.replaceAll("_", " ");
    if (type === "boolean") {
      this.input = make("input", { type: "checkbox", id, checked: usual === true, "aria-describedby": hint });
      this.element = make("div", { className: "field" }, make("label", { className: "check", htmlFor: id }, this.input, words),
        make("p", { className: "soft", id: hint }, plainHelp(setting.help)));
      return;
    }
    const without = unset || (usual === null ? "" : String(usual));
    if (type === "choice") {
      this.input = make("select", { id, "aria-describedby": hint },
        usual === null ? make("option", { value: "" }, unset || "not set") : null,
        choices.map((choice) => make("option", { value: choice }, choice)));
      this.input.value = usual === null ? "" : usual;
    } else {
      const isNumber = type === "integer" || type === "number";
      this.input = make("input", {
        id, type: isNumber ? "number" : "text", placeholder: without || exampleOf(setting), autocomplete: "off", "aria-describedby": hint,
        min: isNumber && setting.low !== null ? setting.low : null, max: isNumber && setting.high !== null ? setting.high : null,
        step: isNumber ? (type === "integer" ? 1 : "any") : null,
      });
    }
    this.element = make("div", { className: "field" }, make("label", { htmlFor: id }, words), this.input,
      make("p", { className: "soft", id: hint }, plainHelp(setting.help)));
  }

  isSet() {
    const { default: usual, type } = this.setting;
    if (type === "boolean") return this.input.checked !== (usual === true);
    return this.input.value.trim() !== "" && this.input.value !== String(usual);
  }

  set(value) {
    if (this.setting.type === "boolean") this.input.checked = value;
    else this.input.value = value;
  }

  value() {
    if (this.setting.type === "boolean") return this.input.checked;
    const text = this.input.value.trim();
    return this.setting.type === "integer" || this.setting.type === "number" ? Number(text) : text;
  }
}

// FILE and the like are no example for people.
function exampleOf({ example, type }) {
  if (/^[A-Z]+$/.test(example)) return type === "path" ? "path of a file" : "";
  return example && `for example ${example}`;
}

// One of a few values, or another that is typed.
export class Choice {
  // values: pairs of a value and its words; other: the words for another one, what it is called, an example of it and a hint.
  constructor(label, values, other, onchange) {
    const id = newId("choice");
    const hint = newId("hint");
    this.select = make("select", { id, onchange: () => this.changed() }, values.map(([value, words]) => make("option", { value }, words)),
      make("option", { value: OTHER }, other.words));
    this.input = make("input", { autocomplete: "off", placeholder: other.example, "aria-label": other.called, "aria-describedby": hint, oninput: onchange });
    this.typed = make("div", { hidden: true }, this.input, make("p", { className: "soft", id: hint }, other.hint));
    this.element = make("div", { className: "field" }, make("label", { htmlFor: id }, label), this.select, this.typed);
    this.onchange = onchange;
  }

  changed() {
    this.typed.hidden = this.select.value !== OTHER;
    if (!this.typed.hidden) this.input.focus();
    this.onchange();
  }

  get value() {
    return this.select.value === OTHER ? this.input.value.trim() : this.select.value;
  }

  set value(value) {
    const isListed = [...this.select.options].some((option) => option.value === value);
    this.select.value = isListed ? value : OTHER;
    this.input.value = isListed ? "" : value;
    this.typed.hidden = isListed;
  }
}
