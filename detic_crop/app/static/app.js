// The page of `detic-crop app`: which screen the address asks for.
//
// dom ← api, words ← jobs ← chooser, job, pictures, settings ← steps, start, folder, home ← app.

import { onReturn } from "./api.js";
import { $, make } from "./dom.js";
import { showFolder } from "./folder.js";
import { showHome } from "./home.js";
import { refresh, showTitle, unwatch } from "./jobs.js";
import { showStart } from "./start.js";

const SCREENS = { "": showHome, new: showStart, folder: showFolder };

let routes = 0;
let renew = () => {};

async function route(isFirst) {
  const [name, ...rest] = location.hash.slice(1).split("?");
  routes += 1;
  const mine = routes;
  unwatch();
  renew = () => {};
  const screen = make("div"); // the answers of a screen that was left come into one that is not shown
  let shown;
  try {
    shown = await (SCREENS[name] || showHome)(screen, rest.join("?"));
  } catch (error) {
    if (mine !== routes) return;
    screen.replaceChildren(make("h1", {}, "This did not work"), make("p", { className: "problem" }, error.message),
      make("div", { className: "row" }, make("button", { type: "button", onclick: () => route() }, "Try again"), make("a", { className: "button", href: "#" }, "To the first page")));
    if (error.code === "offline" || error.code === "gone") shown = { renew: () => route() };
  }
  if (mine !== routes) return;
  if (shown) renew = () => shown.renew();
  $("screen").replaceChildren(screen);
  for (const link of document.querySelectorAll("header nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.body.dataset.shown = name || "home";
  showTitle();
  if (isFirst !== true) {
    $("screen").focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }
}

window.addEventListener("hashchange", () => route());
onReturn(() => {
  refresh();
  renew();
});
// Something may have been done in another tab: a review, above all.
window.addEventListener("focus", () => renew());
document.addEventListener("visibilitychange", () => { if (!document.hidden) renew(); });
route(true);
