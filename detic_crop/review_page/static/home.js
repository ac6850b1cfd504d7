// Under `detic-crop app` the name of the folder leads back to its page there.

import { $ } from "./state.js";

const FROM = new URLSearchParams(location.hash.slice(1)).get("from");

export function showHome() {
  if (!/\/review\/[0-9a-f]+\/$/.test(location.pathname)) return;
  const link = document.createElement("a");
  link.href = `../../#${FROM ? `folder?${FROM}` : ""}`;
  link.title = "Back to the page of this folder";
  link.textContent = `◂ ${$("folder").textContent}`;
  $("folder").replaceChildren(link);
}
