// How fast the person of this tab judges, and so how long the rest will take.

const FEWEST = 5; // verdicts before anything is said
const MOST = 20; // the last verdicts count

const times = []; // of the last verdicts, in ms

export function noteVerdict(now = performance.now()) {
  times.push(now);
  if (times.length > MOST + 1) times.shift();
}

// Several verdicts were given at once, on what has been shown since then.
export function noteSeveral(count, since) {
  const now = performance.now();
  for (let i = 1; i <= count; i += 1) noteVerdict(since + ((now - since) * i) / count);
}

// Seconds that a verdict takes; the median, since people pause. null as long as there are too few.
export function secondsPerVerdict() {
  const took = times.slice(1).map((time, i) => (time - times[i]) / 1000).sort((a, b) => a - b);
  if (took.length + 1 < FEWEST) return null;
  const middle = took.length >> 1;
  return took.length % 2 ? took[middle] : (took[middle - 1] + took[middle]) / 2;
}

// Time for so many more verdicts, in words; empty where it is not known.
export function timeFor(count) {
  const each = secondsPerVerdict();
  return each === null || !count ? "" : wordsOfTime(each * count);
}

export function wordsOfTime(seconds) {
  if (seconds < 55) return "less than a minute";
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `about ${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 10 ? `about ${hours} h ${String(minutes % 60).padStart(2, "0")} min` : `about ${hours} h`;
}
