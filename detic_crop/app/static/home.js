// The first screen: begin, or go on with a folder that was worked on.

import { choose } from "./chooser.js";
import { make } from "./dom.js";
import { refresh, watch } from "./jobs.js";
import { figuresOf, nameOf, stateOf, titleOf } from "./words.js";

export async function showHome(screen) {
  const recent = make("ul", { className: "list" });
  const title = make("h2", { hidden: true }, "Folders you worked on");
  screen.replaceChildren(
    make("h1", {}, "Crop the dolphin or whale out of every photo"),
    make("p", { className: "soft" }, "Choose a folder of photos. You get a folder of square crops, with a table that says which to doubt; you correct these, and hand them to the next program."),
    make("div", { className: "row" }, make("a", { className: "button main", href: "#new" }, "Crop photos …"),
      make("button", { type: "button", onclick: openFolder }, "Open a folder of crops …")),
    title, recent,
  );
  watch((jobs) => {
    const seen = new Set();
    const latest = jobs.filter(({ folder_query: query }) => !seen.has(query) && seen.add(query));
    title.hidden = !latest.length;
    recent.replaceChildren(...latest.map(rowOf));
  });
  await refresh();
}

// One that was made in a terminal, or taken off the list.
async function openFolder() {
  const folder = await choose({ title: "Which crops?", take: "Open it",
    fits: (here) => (here.is_output ? "" : `${here.name} holds no crops of detic-crop. Folders that do are marked “crops”.`) });
  if (folder) location.hash = `folder?${folder.query}`;
}

function rowOf(job) {
  const state = job.state === "running" && job.progress ? figuresOf(job.progress) : `${titleOf(job)} – ${stateOf(job)}`;
  return make("li", {}, make("a", { className: "whole", href: `#folder?${job.folder_query}` },
    make("strong", { className: "name" }, nameOf(job.folder)), make("div", { className: "soft" }, state)));
}
