/** Histories in `…_details` fields of the API: {samples: [{sample, timestamp}, …]}, newest first. */

/** Query parameters for samples of the last seconds, in steps. */
export function history(seconds = 600, step = 5) {
  const query = {};
  for (const kind of ["lengths", "msg_rates", "data_rates", "node_stats"]) {
    query[`${kind}_age`] = seconds;
    query[`${kind}_incr`] = step;
  }
  return query;
}

function pairs(details) {
  return (details?.samples ?? []).map(({ sample, timestamp }) => [timestamp / 1000, sample]).reverse();
}

/** Past values: [[seconds since 1970, number], …], oldest first. */
export function levels(details) {
  return pairs(details);
}

/** Growth per second from one sample to the next. */
export function rates(details) {
  const found = pairs(details);
  return found.slice(1).map(([at, value], index) => {
    const [before, old] = found[index];
    return [at, Math.max(0, (value - old) / (at - before || 1))];
  });
}

/** Several histories on one time axis, for uPlot: [times, values, …]; null for missing values. */
export function together(histories) {
  const times = [...new Set(histories.flatMap((each) => each.map(([at]) => at)))].sort((a, b) => a - b);
  return [
    times,
    ...histories.map((each) => {
      const known = new Map(each);
      return times.map((at) => known.get(at) ?? null);
    }),
  ];
}

/** Growth per second over the whole history. */
export function trend(details) {
  const found = pairs(details);
  if (found.length < 2) return 0;
  const [first, last] = [found[0], found.at(-1)];
  return (last[1] - first[1]) / (last[0] - first[0] || 1);
}
