// Talks to the server.

import { filters } from "./state.js";

export async function ask(address, options) {
  const answer = await fetch(address, options);
  if (!answer.ok) {
    const words = (await answer.text()).slice(0, 400) || `answer ${answer.status}`;
    throw Object.assign(new Error(words), { status: answer.status });
  }
  return answer.json();
}

export function query(extra) {
  return new URLSearchParams([...filters, ...Object.entries(extra || {})]).toString();
}
