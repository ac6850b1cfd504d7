// Talks to the server.

import { filters } from "./state.js";

const PATIENCE_MS = 120_000; // a network that is gone may never say so

// What the server answers. An answer that does not come is an error, too.
export async function ask(address, options) {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(new TypeError("no answer")), PATIENCE_MS);
  try {
    const answer = await fetch(address, { ...options, signal: limit.signal });
    if (!answer.ok) {
      const words = (await answer.text()).slice(0, 400) || `answer ${answer.status}`;
      throw Object.assign(new Error(words), { status: answer.status });
    }
    return await answer.json();
  } catch (error) {
    throw limit.signal.aborted ? limit.signal.reason : error;
  } finally {
    clearTimeout(timer);
  }
}

export function query(extra) {
  return new URLSearchParams([...filters, ...Object.entries(extra || {})]).toString();
}
