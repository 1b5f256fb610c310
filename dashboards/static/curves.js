// Learning curves.

function levelColours(axis, levels) {
  const look = theme();
  const ramp = levels.ordered ? look.ordered[levels.labels.length] : look.categories;
  return levels.labels.map((label, i) =>
    axis === "state" ? look.states[label] : label === NOT_SET || label === "other" ? look.muted : ramp[i % ramp.length]);
}

// One NaN-separated line for each group of trials: a thousand curves are as few traces as ten.
function line(sweep, metric, trials) {
  const { offsets, epochs, metrics } = sweep.curves, drawn = { x: [], y: [], text: [] };
  for (const i of metric ? trials : []) {
    const name = trialName(sweep, i);
    for (let row = offsets[i]; row < offsets[i + 1]; row++) {
      drawn.x.push(epochs[row]); drawn.y.push(metrics[metric][row]); drawn.text.push(name);
    }
    drawn.x.push(null); drawn.y.push(null); drawn.text.push("");
  }
  return drawn;
}

const SYMBOLS = { pruned: "x-thin-open", diverged: "diamond", failed: "diamond" };

// Where curves stop early; a trial of one epoch has no line, so it gets a dot.
function ends(sweep, metric, trials) {
  const { offsets, epochs, metrics } = sweep.curves, drawn = { x: [], y: [], text: [], symbols: [] };
  for (const i of metric ? trials : []) {
    let row = offsets[i + 1] - 1;
    while (row >= offsets[i] && metrics[metric][row] === null) row--;
    const state = sweep.trials.state[i];
    const symbol = SYMBOLS[state] || (offsets[i + 1] - offsets[i] === 1 ? "circle" : null);
    if (row < offsets[i] || !symbol) continue;
    drawn.x.push(epochs[row]); drawn.y.push(metrics[metric][row]); drawn.symbols.push(symbol);
    drawn.text.push(`${trialName(sweep, i)} (${state})`);
  }
  return drawn;
}

function drawCurves(sweep, element, panel) {
  const [main, train, end, chosen] = data.figures.curves.data, base = data.figures.curves.layout, look = theme();
  const family = sweep.families[field(panel, "metric").value], axis = field(panel, "colour").value;
  const showMain = field(panel, "val").checked && family.main, showTrain = field(panel, "train").checked && family.train;
  const levels = sweep.levels[axis], colours = levelColours(axis, levels), count = sweep.trials.number.length;
  const width = count > 300 ? 0.7 : count > 60 ? 1 : 1.7, traces = [];
  levels.labels.forEach((label, level) => {
    const trials = range(count).filter(i => levels.of_trial[i] === level).reverse();
    const shared = { legendgroup: label, opacity: count > 300 ? 0.6 : 0.9, showlegend: false }, color = colours[level];
    traces.push({ ...main, x: [null], y: [null], name: plain(label, 28), legendgroup: label, line: { color, width: 3 } });
    if (showTrain) {
      traces.push({ ...train, ...shared, ...line(sweep, family.train, trials), opacity: 0.7, line: { ...train.line, color, width } });
    }
    if (!showMain) return;
    traces.push({ ...main, ...shared, ...line(sweep, family.main, trials), line: { ...main.line, color, width } });
    const { symbols, ...part } = ends(sweep, family.main, trials);
    const marker = { ...end.marker, symbol: symbols, color, size: count > 300 ? 5 : 8, line: { ...end.marker.line, color } };
    traces.push({ ...end, ...shared, ...part, marker });
  });
  const picked = field(panel, "highlight").value;
  if (picked !== "" && (showMain || showTrain)) {
    const name = (Number(picked) === sweep.best ? "best: " : "") + `trial ${sweep.trials.number[picked]}`;
    const part = line(sweep, showMain ? family.main : family.train, [Number(picked)]);
    traces.push({ ...chosen, ...part, name, line: { ...chosen.line, color: look.ink }, marker: { ...chosen.marker, color: look.ink } });
  }
  const yaxis = { ...valueAxis(base.yaxis, family.kind, family.label), type: field(panel, "log").checked ? "log" : "linear" };
  const legend = { ...base.legend, title: { text: `${plain(axis, 40)}  ` } };
  const xaxis = { ...base.xaxis, ...wholeNumbers(element, 1, sweep.curves.epochs.reduce((a, b) => Math.max(a, b), 1)) };
  draw(element, traces, { ...base, xaxis, yaxis, legend, showlegend: true, uirevision: `${family.label} ${yaxis.type}` });
}

// A few runaway losses would flatten everything else.
function suggestLog(sweep, panel) {
  const family = sweep.families[field(panel, "metric").value];
  const values = (sweep.curves.metrics[family.main || family.train]).filter(v => v !== null).sort((a, b) => a - b);
  const wide = values.length > 0 && values[0] > 0 && values[values.length - 1] > 30 * values[values.length >> 1];
  field(panel, "log").checked = family.kind === "number" && wide;
}
