// Talks to the API; see docs/app.md.

import { $ } from "./dom.js";

export class Refusal extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

async function ask(method, address, body) {
  const options = { method, cache: "no-store" };
  if (body !== undefined) Object.assign(options, { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  else if (method !== "GET") options.headers = { "Content-Type": "application/json" };
  let answer;
  try {
    answer = await fetch(`api/v1/${address}`, options);
  } catch (error) {
    $("offline").hidden = false;
    throw new Refusal("offline", "the server does not answer");
  }
  $("offline").hidden = true;
  if (answer.status === 204) return null;
  const isJson = (answer.headers.get("Content-Type") || "").startsWith("application/json");
  if (answer.ok && isJson) return answer.json();
  // What is no JSON comes from the guard: a server that was started anew has another address.
  if (!isJson) throw new Refusal("guard", (await answer.text()).trim() || `the server answers ${answer.status}`);
  const { error } = await answer.json();
  throw new Refusal(error.code, error.message);
}

export const get = (address) => ask("GET", address);
export const post = (address, body) => ask("POST", address, body);
export const remove = (address) => ask("DELETE", address);

const kept = new Map();
// What does not change while the page is open.
export function once(address) {
  if (!kept.has(address)) kept.set(address, get(address).catch((error) => { kept.delete(address); throw error; }));
  return kept.get(address);
}
