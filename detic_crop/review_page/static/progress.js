// How far the review is: in these filters, in all, and the time that is left.

import { timeFor } from "./pace.js";
import { $, filters, state } from "./state.js";

export function numeral(number) {
  return number.toLocaleString("en");
}

// Photos of which nothing was said.
export function leftOf({ total, reviewed, unsure }) {
  return total - reviewed - unsure;
}

export function showProgress() {
  const { position, total, reviewed, unsure, all } = state.view;
  const open = unsure ? ` · ${numeral(unsure)} unsure` : "";
  const done = document.createElement("span");
  done.className = "wide";
  done.textContent = ` · ${numeral(reviewed)} reviewed${open}`;
  $("count").replaceChildren(...(total ? [`${numeral(position || 0)} of ${numeral(total)}`, done] : ["none"]));
  $("bar").max = Math.max(total, 1);
  $("bar").value = reviewed;
  const left = leftOf(state.view);
  const time = timeFor(left);
  const inAll = document.createElement("span");
  inAll.id = "in-all";
  inAll.textContent = filters.size ? ` · all: ${numeral(all.reviewed)} of ${numeral(all.total)}` : "";
  $("left").replaceChildren(`${numeral(left)} left${time ? ` · ${time}` : ""}`, inAll);
}
