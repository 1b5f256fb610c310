// Every trial by rank.

function drawRanking(sweep, element) {
  const figure = data.figures.ranking, look = theme();
  const known = range(sweep.objective.length).filter(i => sweep.objective[i] !== null);
  const size = known.length > 300 ? 4 : known.length > 80 ? 6 : 9;
  const colours = known.map(i => look.states[sweep.trials.state[i]]);
  const trace = (prototype, values, name, color) => ({
    ...prototype, name, x: known.map(i => i + 1), y: known.map(i => values[i]), text: known.map(i => trialName(sweep, i)),
    marker: { ...prototype.marker, color, size },
  });
  const traces = [trace(figure.data[0], sweep.objective, sweep.metric, colours)];
  if (sweep.testObjective.some(value => value !== null)) {
    traces.push(trace(figure.data[1], sweep.testObjective, sweep.test, look.muted));
  }
  const xaxis = { ...figure.layout.xaxis, ...wholeNumbers(element, 1, known[known.length - 1] + 1) };
  draw(element, traces, { ...figure.layout, xaxis, yaxis: valueAxis(figure.layout.yaxis, sweep.kind) });
}

// An axis of whole numbers with a little room at both ends.
function wholeNumbers(element, low, high) {
  const room = Math.max(0.4, 0.015 * (high - low)), each = high - low < element.clientWidth / 40;
  return { range: [low - room, high + room], ...(each ? { tickmode: "linear", tick0: low, dtick: 1 } : {}) };
}

const valueAxis = (axis, kind, title) => ({
  ...axis, title: { text: title }, tickformat: kind === "percent" ? ".3~p" : "", hoverformat: kind === "percent" ? ".2%" : ".5g",
});
