// What the scripts here have in common. Each prints JSON lines: {"case", "subject", "value", "unit"}.

export const quick = process.argv.includes('--quick');

export function row(what, subject, value, unit) {
  console.log(JSON.stringify({ case: what, subject, value: Number(value.toPrecision(6)), unit }));
}

export function median(values) {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

/**
 * What `measure` gives for each subject, `rounds` times, after one that is not counted. The subjects take turns, so
 * that none has the quiet minute.
 *
 * @template T
 * @param {Record<string, T>} subjects
 * @param {number} rounds
 * @param {(subject: T, name: string) => number | Promise<number>} measure
 * @returns {Promise<Record<string, number[]>>}
 */
export async function inTurn(subjects, rounds, measure) {
  const found = Object.fromEntries(Object.keys(subjects).map((name) => [name, []]));
  for (let round = 0; round <= rounds; round += 1) {
    for (const [name, subject] of Object.entries(subjects)) {
      const value = await measure(subject, name);
      if (round > 0) found[name].push(value);
    }
  }
  return found;
}

/** The median of each round's ratio: both halves ran within the same second. */
export function ratio(ours, theirs) {
  return median(ours.map((value, round) => value / theirs[round]));
}
