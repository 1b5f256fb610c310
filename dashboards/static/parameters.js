// Hyper-parameters: parallel coordinates, slices, pairs, importances.

const COLOURS = 6;
const shortAxis = axis => axis.replace(/^train\./, "");
const amount = (kind, value, digits = 1) => (kind === "percent" ? percent(value, digits) : String(Number(value.toPrecision(4))));
// A fixed spread in [-0.5, 0.5]: the golden ratio's multiples fill it evenly.
const spread = i => ((i * 0.618034) % 1) - 0.5;

// The positions of trials to draw: complete ones (pruned ones when asked), the best share of them, by rank.
function chosenTrials(sweep, panel) {
  const pruned = field(panel, "pruned")?.checked;
  const known = range(sweep.objective.length).filter(i =>
    sweep.objective[i] !== null && (sweep.trials.state[i] === "complete" || (pruned && sweep.trials.state[i] === "pruned")));
  const sign = sweep.mode === "min" ? 1 : -1;
  known.sort((a, b) => sign * (sweep.objective[a] - sweep.objective[b]));
  return known.slice(0, Math.max(1, Math.ceil(known.length * Number(field(panel, "share").value))));
}

// From an axis' values to heights in [0, 1], and the ticks to put there: [height, text].
function ladder(dimension) {
  const turned = dimension.scale === "log" ? Math.log : value => value;
  const [low, high] = extent(dimension.at);
  const height = value => (high > low ? (turned(value) - turned(low)) / (turned(high) - turned(low)) : 0.5);
  return { height, ticks: ticksOf(dimension).map(([value, text]) => [height(value), text]) };
}

// The least and the most of the values that there are.
function extent(values) {
  const known = values.filter(value => value !== null);
  return [known.reduce((a, b) => Math.min(a, b), Infinity), known.reduce((a, b) => Math.max(a, b), -Infinity)];
}

// An axis' ticks: [value, text].
function ticksOf(dimension) {
  if (dimension.scale === "category") return dimension.labels.map((text, i) => [i, text]);
  const [low, high] = extent(dimension.at.filter(value => value !== dimension.unset));
  const between = range(5).map(i => (dimension.scale === "log" ? low * (high / low) ** (i / 4) : low + (i / 4) * (high - low)));
  const [shown, digits] = dimension.ticks.length ? [dimension.ticks, 6] : [between, 2];
  const numbers = shown.map(value => [value, String(Number(value.toPrecision(digits)))]);
  return dimension.unset === null ? numbers : [[dimension.unset, NOT_SET], ...numbers];
}

function parallelLines(sweep, trials, ladders) {
  const drawn = { x: [], y: [], text: [] };
  for (const i of trials) {
    const name = `${trialName(sweep, i)}<br>${plain(sweep.metric)} ${amount(sweep.kind, sweep.objective[i], 2)}`;
    ladders.forEach(({ dimension, height }, x) => {
      const value = dimension.at[i], room = dimension.room || 0;
      drawn.x.push(x); drawn.y.push(value === null ? null : height(value) + room * spread(i)); drawn.text.push(name);
    });
    drawn.x.push(null); drawn.y.push(null); drawn.text.push("");
  }
  return drawn;
}

// Where lines would lie on each other: at a value that many trials share.
const roomOf = dimension => {
  const steps = dimension.labels.length || dimension.ticks.length;
  return steps ? Math.min(0.08, 0.4 / steps) : 0;
};

function drawParallel(sweep, element, panel) {
  const figure = data.figures.parallel, [prototype] = figure.data, look = theme(), trials = chosenTrials(sweep, panel);
  const values = trials.map(i => sweep.objective[i]), drawn = new Set(trials);
  const low = Math.min(...values), high = Math.max(...values), wide = element.clientWidth > 600;
  const last = { axis: sweep.metric, scale: "linear", at: sweep.objective.map((v, i) => (drawn.has(i) ? v : null)), labels: [], ticks: [], unset: null };
  const axes = [...sweep.parameters.dimensions.map(d => ({ ...d, room: roomOf(d) })), last];
  const ladders = axes.map(dimension => ({ dimension, ...ladder(dimension) }));
  ladders[axes.length - 1].ticks = range(5).map(i => [i / 4, amount(sweep.kind, low + (i / 4) * (high - low))]);
  const count = high > low ? Math.min(COLOURS, trials.length) : 1, ramp = look.ordered[count];
  const bin = value => Math.min(count - 1, Math.floor((count * (value - low)) / (high - low || 1)));
  const width = trials.length > 300 ? 0.8 : trials.length > 60 ? 1.2 : 1.8;
  const ranges = range(count).map(k => [low + (k / count) * (high - low), low + ((k + 1) / count) * (high - low)]);
  const traces = range(count).map(k => ({
    ...prototype, ...parallelLines(sweep, trials.filter(i => bin(sweep.objective[i]) === k).reverse(), ladders),
    name: ranges[k].map(value => amount(sweep.kind, value)).join(" – "), opacity: trials.length > 300 ? 0.6 : 0.85,
    line: { color: ramp[k], width }, showlegend: true,
  }));
  traces.push({ ...prototype, ...parallelLines(sweep, trials.slice(0, 1), ladders), name: "best", line: { color: look.ink, width: 3.5 } });
  const { shapes, annotations } = axisLines(ladders, element, look, wide);
  const xaxis = { ...figure.layout.xaxis, range: [-0.25, axes.length - 1 + (wide ? 0.3 : 0.55)] };
  draw(element, traces, { ...figure.layout, shapes, annotations, xaxis, uirevision: String(trials.length) });
}

function axisLines(ladders, element, look, wide) {
  const letters = Math.max(4, Math.floor(((element.clientWidth - 80) / ladders.length - 14) / LETTER));
  const shapes = ladders.map((_, x) => ({ type: "line", x0: x, x1: x, y0: -0.04, y1: 1.04, layer: "below", line: { color: look.muted, width: 1 } }));
  const titles = ladders.map(({ dimension }, x) => ({
    x, y: 1.06, yanchor: "bottom", showarrow: false, text: `<b>${plain(shortAxis(dimension.axis), wide ? letters : letters + 2)}</b>`,
    font: { size: wide ? 13 : 10 },
  }));
  const marks = ladders.flatMap(({ ticks }, x) => thinned(ticks).map(([y, text]) => ({
    x, y, xanchor: "left", xshift: 4, showarrow: false, text: plain(text, letters), bgcolor: look.panel, opacity: 0.9,
    borderpad: 1, font: { size: wide ? 11 : 9, color: look.ink },
  })));
  return { shapes, annotations: [...titles, ...marks] };
}

const thinned = ticks => ticks.filter((_, i) => i % Math.ceil(ticks.length / 16) === 0);

// The whole axis, whichever trials are drawn, with a little room; in powers of ten on a logarithmic scale.
function roomyRange(dimension) {
  const [low, high] = extent(dimension.at.map(dimension.scale === "log" ? Math.log10 : value => value));
  const room = 0.12 * (high - low) || 0.5;
  return [low - room, high + room];
}

function sliceAxis(dimension, element, base) {
  const title = { text: `<b>${plain(shortAxis(dimension.axis), 40)}</b>` }, few = { tickmode: "array", title };
  if (dimension.scale === "category") {
    const most = dimension.labels.length, every = Math.ceil((most * 22) / element.clientWidth);
    const letters = Math.max(5, Math.floor(element.clientWidth / most / LETTER) - 2);
    const shown = range(most).filter(i => i % every === 0);
    return { ...base, ...few, range: [-0.5, most - 0.5], tickvals: shown, ticktext: shown.map(i => plain(dimension.labels[i], letters)) };
  }
  const place = { type: dimension.scale, range: roomyRange(dimension) };
  if (dimension.is_binned && dimension.unset === null) return { ...base, title, ...place, nticks: 6 };
  const ticks = ticksOf(dimension);
  return { ...base, ...few, ...place, tickangle: 0, tickvals: ticks.map(([value]) => value), ticktext: ticks.map(([, text]) => text) };
}

function drawSlice(sweep, element, panel) {
  const figure = data.figures.slice, look = theme(), dimension = sweep.parameters.dimensions[element.dataset.axis];
  const trials = chosenTrials(sweep, panel), isCategory = dimension.scale === "category";
  const part = state => {
    const own = trials.filter(i => sweep.trials.state[i] === state);
    return {
      x: own.map(i => dimension.at[i] + (isCategory ? 0.3 * spread(i) : 0)), y: own.map(i => sweep.objective[i]),
      text: own.map(i => trialName(sweep, i)),
    };
  };
  const size = trials.length > 300 ? 4 : 7, [complete, pruned, mean] = figure.data;
  const means = field(panel, "share").value === "1" ? dimension.means : [], gap = { at: null, mean: null, trials: 0 };
  const marks = means.flatMap(m => (m.at === dimension.unset ? [m, gap] : [m]));
  const dash = { symbol: "line-ew-open", size: 22, color: look.ink, line: { width: 3, color: look.ink } };
  const traces = [
    { ...complete, ...part("complete"), marker: { color: look.accent, size } },
    { ...pruned, ...part("pruned"), marker: { ...pruned.marker, color: look.states.pruned, size } },
    {
      ...mean, x: marks.map(m => m.at), y: marks.map(m => m.mean), text: marks.map(m => `mean of ${m.trials} trials`),
      mode: isCategory ? "markers" : "lines+markers", marker: dash, line: { ...mean.line, color: look.ink },
    },
  ];
  const yaxis = valueAxis(figure.layout.yaxis, sweep.kind);
  draw(element, traces, { ...figure.layout, xaxis: sliceAxis(dimension, element, figure.layout.xaxis), yaxis });
}

// The pair of two axes, turned over when it is stored the other way around.
function meansOf(sweep, across, down) {
  const turn = table => table[0].map((_, i) => table.map(row => row[i]));
  const found = sweep.parameters.pairs.find(pair => pair.across === across && pair.down === down);
  if (found) return found;
  const other = sweep.parameters.pairs.find(pair => pair.across === down && pair.down === across);
  return { mean: turn(other.mean), trials: turn(other.trials) };
}

function drawPair(sweep, element, panel) {
  const selects = [field(panel, "across"), field(panel, "down")];
  keepApart(...selects);
  const [across, down] = selects.map(select => select.value), pair = meansOf(sweep, across, down);
  const [columns, rows] = [across, down].map(axis => sweep.levels[axis].labels), figure = data.figures.pair;
  const cell = (element.clientWidth - 160) / columns.length, digits = cell < 60 ? 0 : 1;
  const hover = pair.mean.map((row, y) => row.map((mean, x) =>
    `${plain(down, 40)} ${plain(rows[y])}<br>${plain(across, 40)} ${plain(columns[x])}<br><b>${mean === null ? "" : amount(sweep.kind, mean, 2)}</b>, mean of ${pair.trials[y][x]}`));
  const ticktext = (labels, letters) => ({ tickmode: "array", tickvals: range(labels.length), ticktext: labels.map(text => plain(text, letters)), range: [-0.5, labels.length - 0.5] });
  const trace = {
    ...figure.data[0], x: range(columns.length), y: range(rows.length), z: pair.mean, hovertext: hover, reversescale: sweep.mode === "min",
    text: pair.mean.map(row => row.map(mean => (mean === null ? "" : amount(sweep.kind, mean, digits)))), texttemplate: "%{text}",
    colorbar: { ...figure.data[0].colorbar, tickformat: sweep.kind === "percent" ? ".4~p" : "", nticks: 4 }, showscale: element.clientWidth > 500,
  };
  const empty = pair.mean.flatMap((row, y) => row.flatMap((mean, x) =>
    (mean === null ? [{ x, y, text: "–", showarrow: false, font: { color: theme().muted } }] : [])));
  const axis = (base, name, labels, letters) => ({ ...base, type: "linear", title: { text: plain(shortAxis(name), 40) }, ...ticktext(labels, letters) });
  draw(element, [trace], {
    ...figure.layout, annotations: empty, height: 130 + 52 * rows.length,
    xaxis: axis(figure.layout.xaxis, across, columns, Math.max(5, Math.floor(cell / LETTER))),
    yaxis: axis(figure.layout.yaxis, down, rows, element.clientWidth > 600 ? 30 : 12),
  });
}

// Two selects that name the same axis: the one that was not touched takes what the other had.
function keepApart(across, down) {
  if (across.value === down.value) {
    const [touched, other] = document.activeElement === down ? [down, across] : [across, down];
    other.value = touched.dataset.had || [...other.options].find(option => option.value !== touched.value).value;
  }
  [across, down].forEach(select => { select.dataset.had = select.value; });
}

function drawImportances(sweep, element) {
  const figure = data.figures.importances, shares = sweep.parameters.importances;
  const trace = { ...figure.data[0], x: shares.map(([, share]) => share), y: shares.map(([axis]) => plain(shortAxis(axis), 30)) };
  draw(element, [{ ...trace, marker: { color: theme().accent } }], { ...figure.layout, height: 90 + 34 * shares.length });
}
