// Accuracy of trials x classes.

function classOrder(split, order, find) {
  const names = split.names, wanted = find.trim().toLowerCase();
  let classes = order === "hardest" ? split.hardest : range(names.length);
  if (order === "name") classes = [...classes].sort((a, b) => names[a].localeCompare(names[b]));
  return classes.filter(c => !wanted || names[c].toLowerCase().includes(wanted) || split.ids[c].toLowerCase().includes(wanted));
}

const ratio = (split, row, c) => (split.images[row][c] ? split.correct[row][c] / split.images[row][c] : null);

function hoverText(sweep, split, row, c) {
  const value = ratio(split, row, c), id = split.ids[c] === split.names[c] ? "" : ` (${plain(split.ids[c], 40)})`;
  const result = value === null ? "no images" : `${percent(value)}: ${split.correct[row][c]} of ${split.images[row][c]} images`;
  return `<b>${plain(split.names[c], 80)}</b>${id}<br>${trialName(sweep, split.trials[row])}<br>${result}`;
}

function drawClasses(sweep, element, panel) {
  const split = sweep.classes[field(panel, "split").value], most = Number(field(panel, "rows").value);
  const classes = classOrder(split, field(panel, "order").value, field(panel, "find").value);
  const rows = range(split.trials.length).slice(0, most || undefined);
  const z = rows.map(row => classes.map(c => ratio(split, row, c)));
  const [prototype] = data.figures.classes.data, base = data.figures.classes.layout;
  const space = classSpace(element, rows.length, classes.length, sweep, split);
  const trace = {
    ...prototype, z, ...accuracyRange(z), showscale: space.height > 260,
    hovertext: rows.map(row => classes.map(c => hoverText(sweep, split, row, c))),
    ...(space.roomy ? { text: z.map(row => row.map(v => (v === null ? "" : (100 * v).toFixed(0)))), texttemplate: "%{text}" } : {}),
    ...(space.fine ? { xgap: 0, ygap: 0 } : {}),
  };
  const xaxis = { ...base.xaxis, ...ticks(classes.map(c => plain(split.names[c], 22)), space.everyClass), tickangle: space.angle };
  const labels = rows.map(row => trialLabel(sweep, split.trials[row], space.letters));
  const yaxis = { ...base.yaxis, ...ticks(labels, space.everyRow) };
  draw(element, [trace], { ...base, xaxis, yaxis, height: space.height, margin: { ...base.margin, t: space.top } });
  describeClasses(panel, split);
}

// From the tenth below the lowest accuracy to the tenth above the highest.
function accuracyRange(z) {
  const known = z.flat().filter(value => value !== null);
  const zmin = Math.floor(10 * known.reduce((a, b) => Math.min(a, b), 0.9)) / 10;
  return { zmin, zmax: Math.max(zmin + 0.1, Math.ceil(10 * known.reduce((a, b) => Math.max(a, b), 0)) / 10) };
}

const ticks = (texts, every) => {
  const shown = range(texts.length).filter(i => i % every === 0);
  return { tickmode: "array", tickvals: shown, ticktext: shown.map(i => texts[i]), range: undefined };
};

const trialLabel = (sweep, i, letters) =>
  `#${sweep.trials.number[i]}` + (letters ? "  " + plain(sweep.trials.label[i], letters) : "");

// How large cells come out, and so which labels there is room for.
function classSpace(element, rows, columns, sweep, split) {
  const width = printing ? PRINT_WIDTH : element.clientWidth;
  const letters = width > 600 && columns <= 60 ? Math.floor((0.36 * width) / LETTER) : 0;
  const left = 45 + LETTER * Math.min(letters, Math.max(...sweep.trials.label.map(text => text.length)));
  const row = rows <= 40 ? 27 : Math.max(2, Math.min(27, 1100 / rows)), across = columnSpace(width - left - 80, split.names, columns);
  return {
    ...across, letters, height: Math.max(rows * row, 60) + across.top + 16,
    roomy: across.cell >= 32 && row >= 20, fine: across.cell < 6 || row < 6, everyRow: Math.max(1, Math.ceil(15 / row)),
  };
}

// Columns in so many pixels, and the room for their names above them.
function columnSpace(width, names, columns) {
  const cell = width / Math.max(columns, 1), longest = Math.max(...names.map(name => Math.min(22, name.length)), 1);
  const flat = longest * 7 < cell, top = flat ? 54 : 34 + longest * (cell < 18 ? 7.2 : 5.8);
  return { cell, top, angle: flat ? 0 : cell < 18 ? -90 : -50, everyClass: Math.max(1, Math.ceil(13 / cell)) };
}

function describeClasses(panel, split) {
  const order = split.hardest.filter(c => split.mean[c] !== null);
  const list = classes => classes.map(c => `\u2068${clip(split.names[c], 40)}\u2069 (${percent(split.mean[c], 0)})`).join(", ");
  const few = order.length < 6;
  field(panel, "hardest").textContent = order.length < 2 ? "" : few
    ? `From hardest to easiest: ${list(order)}.`
    : `Hardest: ${list(order.slice(0, 3))}. Easiest: ${list(order.slice(-3).reverse())}.`;
}
