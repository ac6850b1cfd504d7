// The sheet below the header that holds filters and finder where the page is narrow.

import { $, filters } from "./state.js";

export function showSheet(open) {
  document.body.classList.toggle("sheet-open", open);
  $("sheet-button").setAttribute("aria-expanded", String(open));
}

// How many filters are set, for whoever does not see them.
export function showSheetCount() {
  $("sheet-count").textContent = filters.size ? ` (${filters.size})` : "";
  $("sheet-button").classList.toggle("on", filters.size > 0);
}

function isOpen() {
  return document.body.classList.contains("sheet-open");
}

$("sheet-button").addEventListener("click", () => showSheet(!isOpen()));
document.addEventListener("pointerdown", (event) => {
  if (isOpen() && !event.target.closest("#sheet, #sheet-button")) showSheet(false);
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !isOpen()) return;
  showSheet(false);
  if (!$("sheet-button").checkVisibility()) return; // where there is room for the fields the key is theirs
  event.stopPropagation(); // it drops no box
  $("sheet-button").focus();
}, { capture: true });
