// Several sweeps over each other, a colour each.

const sweepColour = index => theme().categories[index % theme().categories.length];
const sweepNames = () => all("#sweep option").map(option => plain(option.textContent, 30));

function drawSweepRanks(_, element) {
  const { data: [prototype], layout } = data.figures.ranking, names = sweepNames();
  const traces = data.sweeps.map((sweep, index) => {
    const known = range(sweep.objective.length).filter(i =>
      sweep.objective[i] !== null && ["complete", "pruned"].includes(sweep.trials.state[i]));
    return {
      ...prototype, name: names[index], x: known.map(i => i + 1), y: known.map(i => sweep.objective[i]), text: known.map(i => trialName(sweep, i)),
      marker: { color: sweepColour(index), size: 7, symbol: known.map(i => (sweep.trials.state[i] === "pruned" ? "circle-open" : "circle")) },
    };
  });
  draw(element, traces, { ...layout, showlegend: true, yaxis: valueAxis(layout.yaxis, data.sweeps[0].kind, sharedMetric()) });
}

// The metric's name where all sweeps have the same one.
const sharedMetric = () => (data.sweeps.every(sweep => sweep.metric === data.sweeps[0].metric) ? data.sweeps[0].metric : "each sweep's objective");

function drawSweepCurves(_, element) {
  const { data: [prototype], layout } = data.figures.curves, names = sweepNames();
  const traces = data.sweeps.flatMap((sweep, index) => {
    const family = sweep.families[0];
    if (sweep.best === null || !family) return [];
    return [{
      ...prototype, ...line(sweep, family.main || family.train, [sweep.best]), mode: "lines+markers", name: names[index],
      line: { color: sweepColour(index), width: 2.5 }, marker: { size: 5 },
    }];
  });
  const longest = data.sweeps.flatMap(sweep => sweep.curves.epochs).reduce((a, b) => Math.max(a, b), 1);
  const xaxis = { ...layout.xaxis, ...wholeNumbers(element, 1, longest) };
  const { legend, margin } = data.figures.ranking.layout;
  draw(element, traces, { ...layout, legend, margin, height: 350, xaxis, yaxis: valueAxis(layout.yaxis, data.sweeps[0].kind, sharedMetric()), showlegend: true });
}
