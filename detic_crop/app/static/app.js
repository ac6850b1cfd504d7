// The page of `detic-crop app`: which screen the address asks for.
//
// dom ← api, words ← jobs ← job, chooser, settings ← start, folder, home ← app.

import { $, make } from "./dom.js";
import { showFolder } from "./folder.js";
import { showHome } from "./home.js";
import { unwatch } from "./jobs.js";
import { showStart } from "./start.js";

const SCREENS = { "": showHome, new: showStart, folder: showFolder };

async function route(isFirst) {
  const [name, ...rest] = location.hash.slice(1).split("?");
  const screen = $("screen");
  unwatch();
  try {
    await (SCREENS[name] || showHome)(screen, rest.join("?"));
  } catch (error) {
    screen.replaceChildren(make("h1", {}, "This did not work"), make("p", { className: "problem" }, error.message),
      make("div", { className: "row" }, make("button", { type: "button", onclick: () => route() }, "Try again"), make("a", { className: "button", href: "#" }, "To the first page")));
  }
  document.body.dataset.shown = name || "home";
  document.title = `${document.querySelector("h1")?.textContent || ""} – detic-crop`;
  if (isFirst !== true) screen.focus({ preventScroll: true });
}

window.addEventListener("hashchange", () => route());
route(true);
