// A timeline on which idle stretches, in which an order waits for its next step, are folded to a narrow strip, so that
// spans are wide enough to read.

const FOLD_FROM = 0.2; // fold an idle stretch longer than this share of the busy time …
const FOLD_TO = 0.04; // … to this share

/**
 * Return for `[{start, end}]` in microseconds: `at(time)`, its position in percent of the width, and the `runs` between
 * the `folds`, all of them `{start, end, left, right}`.
 */
export function timeline(intervals) {
  const busy = union(intervals);
  const busyTime = busy.reduce((sum, part) => sum + part.end - part.start, 0) || 1;
  const pieces = [];
  let right = 0;
  const add = (start, end, width, folded) => pieces.push({ start, end, left: right, right: (right += width), folded });
  busy.forEach((part, index) => {
    const idle = index === 0 ? 0 : part.start - busy[index - 1].end;
    const folded = idle > busyTime * FOLD_FROM;
    if (idle > 0) add(busy[index - 1].end, part.start, folded ? busyTime * FOLD_TO : idle, folded);
    add(part.start, part.end, part.end - part.start, false);
  });
  const scale = 100 / (right || 1);
  for (const piece of pieces) Object.assign(piece, { left: piece.left * scale, right: piece.right * scale });
  return { at: (time) => placeOf(pieces, time), folds: pieces.filter((piece) => piece.folded), runs: runs(pieces) };
}

function placeOf(pieces, time) {
  let low = 0;
  for (let high = pieces.length - 1; low < high; ) {
    const middle = (low + high) >> 1;
    if (time <= pieces[middle].end) high = middle;
    else low = middle + 1;
  }
  const { start, end, left, right } = pieces[low];
  const share = end > start ? (time - start) / (end - start) : 0;
  return left + (right - left) * Math.min(1, Math.max(0, share));
}

function runs(pieces) {
  const joined = [];
  pieces.forEach((piece, index) => {
    if (piece.folded) return;
    const last = joined.at(-1);
    if (last && !pieces[index - 1].folded) Object.assign(last, { end: piece.end, right: piece.right });
    else joined.push({ ...piece });
  });
  return joined;
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
