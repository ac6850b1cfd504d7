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

// The last part of a path, on any system.
export function nameOf(path) {
  return path.replace(/[/\\]+$/, "").split(/[/\\]/).pop() || path;
}

const DOING = { run: "Crop", recrop: "Crop again", audit: "Write the tables", apply: "Apply the review", teach: "Teach", export: "Export" };

export function titleOf(job) {
  const what = DOING[job.command] || job.command;
  return job.command === "run" ? `${what} ${nameOf(job.input)}` : `${what}: ${nameOf(job.folder)}`;
}

export function stateOf(job) {
  if (job.state === "queued") return job.waits_for ? `waits for ${counted(job.waits_for, "other job")}` : "begins";
  return { running: "at work", stopping: "stopping, when the photos in hand are done", done: "done", failed: "failed", interrupted: "stopped" }[job.state] || job.state;
}

export function figuresOf({ phase, done, total, failed, photos_per_second: rate, seconds_left: left }) {
  if (!total) return phase;
  const parts = [`${thousands(done)} of ${thousands(total)} photos`];
  if (rate) parts.push(`${rate < 10 ? rate.toFixed(1) : Math.round(rate)} a second`);
  if (left) parts.push(`${duration(left)} left`);
  if (failed) parts.push(`${thousands(failed)} failed`);
  return `${phase}: ${parts.join(" · ")}`;
}
