// Numbers and jobs in words.

export const thousands = (number) => number.toLocaleString("en");

export function counted(number, one, many = `${one}s`) {
  return `${thousands(number)} ${number === 1 ? one : many}`;
}

export function duration(seconds) {
  if (seconds < 60) return "less than a minute";
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return counted(minutes, "minute");
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return counted(Math.round(hours / 24), "day");
}

// A path without what ends it, so that something may be added to its name.
export const withoutEnd = (path) => path.replace(/[/\\]+$/, "");

// The last part of a path, on any system.
export function nameOf(path) {
  return withoutEnd(path).split(/[/\\]/).pop() || path;
}

const CALLED = {
  in: "photos", input: "photos", out: "output",
  labels: "table of labels", model: "what finds the animals", size: "size of the crops",
};

const called = (name) => CALLED[name] || name.replaceAll(/[-_]/g, " ");

const quoted = (name, value) => `“${called(name)}${value && value !== "True" ? `: ${value}` : ""}”`;

// What the commands say of their options, as this page calls them: --labels-key is “labels key”. The server
// itself names them as Python does: size=512.
export function plain(message) {
  return message
    .replace(/(^|[\s('])--([a-z][a-z-]*)/g, (_, before, name) => before + quoted(name))
    .replace(/(^|[\s('])([a-z][a-z_]*)=(\w*)/g, (_, before, name, value) => before + quoted(name, value));
}

// The same of a help text: animals=all, gps=True.
export function plainHelp(help) {
  return help.replace(/\b([a-z_]+)=(\w*)/g, (_, name, value) => quoted(name, value));
}

// What a command has to say beside its result and how far it is: labels that match no photo, the model, warnings.
export function notesOf(lines) {
  return lines.slice(1).filter((line) => line.trim() && !/^(look at |detic-crop: )/.test(line) && !/^[^:]+: [\d,]+ of [\d,]+/.test(line));
}

const DOING = { run: "Crop", recrop: "Crop again", audit: "Write the tables", apply: "Apply the review", teach: "Teach", export: "Export" };

export function titleOf(job) {
  const what = DOING[job.command] || job.command;
  return job.command === "run" ? `${what} ${nameOf(job.input)}` : `${what}: ${nameOf(job.folder)}`;
}

export function stateOf(job) {
  if (job.state === "queued") return job.waits_for ? `waits for ${counted(job.waits_for, "other job")}` : "begins";
  if (isNoHelp(job)) return "measured: it does not help yet";
  return { running: "at work: getting ready", stopping: "stopping, when the photos in hand are done", done: "done", failed: "failed", interrupted: "stopped" }[job.state] || job.state;
}

// Teaching was measured, and the model that is there is as good: a result, and no fault.
export function isNoHelp(job) {
  return job.command === "teach" && job.exit_code === 4;
}

export function figuresOf({ phase, done, total, failed, photos_per_second: rate, seconds_left: left }) {
  const doing = phase === "ended" ? "finishing" : phase; // its process is still there
  if (!total) return doing;
  const parts = [`${thousands(done)} of ${thousands(total)} photos`];
  if (rate) parts.push(`${rate < 10 ? rate.toFixed(1) : Math.round(rate)} a second`);
  if (left) parts.push(`${duration(left)} left`);
  if (failed) parts.push(`${thousands(failed)} failed`);
  return `${doing}: ${parts.join(" · ")}`;
}
