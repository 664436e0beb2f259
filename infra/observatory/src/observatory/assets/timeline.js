// The time line of a trace. Long stretches in which nothing runs (an order waiting for its next step) are folded to
// a narrow strip, so that what does run stays wide enough to read.

const FOLD_FROM = 0.2; // fold an idle stretch longer than this share of the busy time …
const FOLD_TO = 0.04; // … to this share

/** Take `[{start, end}]` in microseconds; return `at(time)` in percent, and the folds and ticks to draw. */
export function timeline(intervals) {
  const busy = union(intervals);
  const busyTime = busy.reduce((sum, part) => sum + part.end - part.start, 0) || 1;
  const pieces = [];
  let width = 0;
  busy.forEach((part, index) => {
    const idle = index === 0 ? 0 : part.start - busy[index - 1].end;
    if (idle > 0) {
      const folded = idle > busyTime * FOLD_FROM;
      const shown = folded ? busyTime * FOLD_TO : idle;
      pieces.push({ start: busy[index - 1].end, end: part.start, from: width, shown, folded });
      width += shown;
    }
    pieces.push({ start: part.start, end: part.end, from: width, shown: part.end - part.start, folded: false });
    width += part.end - part.start;
  });
  width ||= 1;
  const at = (time) => {
    const piece = pieces.find((candidate) => time <= candidate.end) ?? pieces.at(-1);
    const share = piece.end > piece.start ? (time - piece.start) / (piece.end - piece.start) : 0;
    return (100 * (piece.from + piece.shown * Math.min(1, Math.max(0, share)))) / width;
  };
  const folds = pieces.filter((piece) => piece.folded);
  return { at, folds: folds.map(({ start, end }) => ({ start, end, left: at(start), width: at(end) - at(start) })) };
}

function union(intervals) {
  const merged = [];
  for (const { start, end } of [...intervals].sort((a, b) => a.start - b.start)) {
    const last = merged.at(-1);
    if (last && start <= last.end) last.end = Math.max(last.end, end);
    else merged.push({ start, end });
  }
  return merged;
}
