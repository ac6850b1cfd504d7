// The jobs, as the server has them now: asked for again and again, for any page that is open.

import { get } from "./api.js";

const BUSY_MS = 1000;
const IDLE_MS = 5000;
const LONGEST_MS = 15000;
const GONE_MS = 60000; // it could only be one that was given the same token
const PATIENCE_MS = 30000;

let listeners = [];
let known = null;
let wait = BUSY_MS;
let timer = 0;

export const isOver = (job) => ["done", "failed", "interrupted"].includes(job.state);
export const isAtWork = (job) => !isOver(job);

// Tell `listener` of the jobs now and at every change, until another screen is shown.
export function watch(listener) {
  listeners.push(listener);
  if (known) listener(known);
}

export const jobsNow = () => known || [];

export function unwatch() {
  listeners = [];
}

export async function refresh() {
  clearTimeout(timer);
  try {
    known = await get("jobs", PATIENCE_MS);
    wait = known.some(isAtWork) ? BUSY_MS : IDLE_MS;
    for (const listener of [...listeners]) listener(known);
  } catch (error) {
    wait = error.code === "gone" ? GONE_MS : Math.min(wait * 2, LONGEST_MS);
  }
  showTitle();
  clearTimeout(timer);
  timer = setTimeout(refresh, document.hidden ? Math.max(wait, IDLE_MS) : wait);
}

export function showTitle() {
  const busy = known && known.find((job) => job.state === "running" && job.progress && job.progress.total);
  const share = busy ? `${Math.floor((100 * busy.progress.done) / busy.progress.total)} % – ` : "";
  document.title = `${share}${document.querySelector("h1")?.textContent || ""} – detic-crop`;
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
