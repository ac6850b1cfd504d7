// Talks to the API; see docs/app.md.

import { $ } from "./dom.js";

const WORDS = {
  offline: "the server does not answer; try again when it does",
  gone: "detic-crop app was started anew: open the address that it printed",
};
const NOT_LET_IN = [401, 403, 421];

export class Refusal extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

let lost = "";
const listeners = [];
// Tell `listener` whenever the server answers again.
export function onReturn(listener) {
  listeners.push(listener);
}

function note(why) {
  const isBack = lost && !why;
  lost = why;
  for (const id of Object.keys(WORDS)) $(id).hidden = id !== why;
  if (isBack) for (const listener of listeners) listener();
}

function lose(why) {
  note(why);
  return new Refusal(why, WORDS[why]);
}

// patience: milliseconds after which a server that stands still counts as one that does not answer.
async function ask(method, address, body, patience) {
  const options = { method, cache: "no-store" };
  if (method !== "GET") options.headers = { "Content-Type": "application/json" };
  if (body !== undefined) options.body = JSON.stringify(body);
  if (patience) options.signal = AbortSignal.timeout(patience);
  let answer, text;
  try {
    answer = await fetch(`api/v1/${address}`, options);
    text = await answer.text();
  } catch {
    throw lose("offline");
  }
  const isJson = (answer.headers.get("Content-Type") || "").startsWith("application/json");
  const said = isJson ? JSON.parse(text) : null;
  if (answer.ok) {
    note("");
    return said;
  }
  // A server that was started anew knows neither this page's address nor its cookie.
  if (NOT_LET_IN.includes(answer.status) && (!isJson || said.error.code === "refused")) throw lose("gone");
  if (!isJson) throw lose("offline");
  note("");
  throw new Refusal(said.error.code, said.error.message);
}

export const get = (address, patience) => ask("GET", address, undefined, patience);
export const post = (address, body) => ask("POST", address, body);
export const remove = (address) => ask("DELETE", address);

const kept = new Map();
// What does not change while the page is open.
export function once(address) {
  if (!kept.has(address)) kept.set(address, get(address).catch((error) => { kept.delete(address); throw error; }));
  return kept.get(address);
}
