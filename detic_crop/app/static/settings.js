// A form for the settings of a command, made from what the API says of them.

import { make, newId } from "./dom.js";

export class Settings {
  // isShown: which settings have a field here.
  constructor(command, isShown) {
    this.fields = command.settings.filter(isShown).map((setting) => new Field(setting));
    const headings = [...new Set(this.fields.map(({ setting }) => setting.heading))];
    this.element = make("div", {}, headings.map((heading) => make("details", { className: "group" },
      make("summary", {}, heading || "Others"),
      make("div", { className: "settings" }, this.fields.filter(({ setting }) => setting.heading === heading).map(({ element }) => element)))));
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
        make("p", { className: "soft", id: hint }, setting.help));
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
        id, type: isNumber ? "number" : "text", placeholder: without || setting.example, autocomplete: "off", "aria-describedby": hint,
        min: isNumber && setting.low !== null ? setting.low : null, max: isNumber && setting.high !== null ? setting.high : null,
        step: isNumber ? (type === "integer" ? 1 : "any") : null,
      });
    }
    this.element = make("div", { className: "field" }, make("label", { htmlFor: id }, words), this.input,
      make("p", { className: "soft", id: hint }, setting.help));
  }

  isSet() {
    const { default: usual, type } = this.setting;
    if (type === "boolean") return this.input.checked !== (usual === true);
    return this.input.value.trim() !== "" && this.input.value !== String(usual);
  }

  value() {
    if (this.setting.type === "boolean") return this.input.checked;
    const text = this.input.value.trim();
    return this.setting.type === "integer" || this.setting.type === "number" ? Number(text) : text;
  }
}
