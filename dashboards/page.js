"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const PRINT_WIDTH = 680, LETTER = 6.6;
  let printing = false;

  const theme = () => data.themes[dark.matches && !printing ? "dark" : "light"];
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const range = count => Array.from({ length: count }, (_, i) => i);
  const percent = (value, digits = 1) => `${(100 * value).toFixed(digits)} %`;
  const clip = (text, most) => (text.length > most ? [...text].slice(0, most - 1).join("") + "…" : text);

  // Plotly reads its texts as a little HTML: escape, and keep right-to-left names from turning their neighbours around.
  const plain = (text, most = 90) =>
    "\u2068" + clip(text, most).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;") + "\u2069";

  // The buttons are named one by one: Plotly's own list has one that sends the chart to its cloud.
  const CONFIG = { displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };

  function draw(element, traces, layout) {
    const width = printing ? PRINT_WIDTH : element.clientWidth, { template, muted, accent } = theme();
    const modebar = { bgcolor: "rgba(0,0,0,0)", color: muted, activecolor: accent };
    Plotly.react(element, traces, { ...layout, template, modebar, width }, CONFIG);
  }

  // Controls of a sweep are marked with data-* attributes: field(panel, "metric") is the one marked data-metric.
  const field = (panel, name) => panel.querySelector(`[data-${name}]`);
  const trialName = (sweep, i) => `trial ${sweep.trials.number[i]}: ${plain(sweep.trials.label[i])}`;

  // ---- every trial by rank

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

  // ---- learning curves

  function levelColours(axis, levels) {
    const look = theme();
    const ramp = levels.ordered ? look.ordered[levels.labels.length] : look.categories;
    return levels.labels.map((label, i) =>
      axis === "state" ? look.states[label] : label === "not set" || label === "other" ? look.muted : ramp[i % ramp.length]);
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

  // ---- classes

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
    const longest = Math.max(...split.names.map(name => Math.min(22, name.length)), 1);
    const letters = width > 600 && columns <= 60 ? Math.floor((0.36 * width) / LETTER) : 0;
    const left = 45 + LETTER * Math.min(letters, Math.max(...sweep.trials.label.map(text => text.length)));
    const cell = (width - left - 80) / Math.max(columns, 1), flat = longest * 7 < cell;
    const row = rows <= 40 ? 27 : Math.max(2, Math.min(27, 1100 / rows)), top = flat ? 54 : 34 + longest * (cell < 18 ? 7.2 : 5.8);
    return {
      letters, top, angle: flat ? 0 : cell < 18 ? -90 : -50, height: Math.max(rows * row, 60) + top + 16,
      roomy: cell >= 32 && row >= 20, fine: cell < 6 || row < 6,
      everyClass: Math.max(1, Math.ceil(13 / cell)), everyRow: Math.max(1, Math.ceil(15 / row)),
    };
  }

  function describeClasses(panel, split) {
    const order = split.hardest.filter(c => split.mean[c] !== null);
    const list = classes => classes.map(c => `\u2068${clip(split.names[c], 40)}\u2069 (${percent(split.mean[c], 0)})`).join(", ");
    const few = order.length < 6;
    field(panel, "hardest").textContent = order.length < 2 ? "" : few
      ? `From hardest to easiest: ${list(order)}.`
      : `Hardest: ${list(order.slice(0, 3))}. Easiest: ${list(order.slice(-3).reverse())}.`;
  }

  // ---- the trials table

  function sortBy(table, heading) {
    const column = heading.cellIndex, was = heading.getAttribute("aria-sort");
    const highFirst = /top[15]$/.test(heading.title);
    const down = was ? was === "ascending" : highFirst;
    const value = row => { const cell = row.cells[column]; return cell.dataset.v ?? cell.textContent; };
    const isNumber = heading.classList.contains("n");
    const order = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      return (down ? -1 : 1) * (isNumber ? Number(x.replace("inf", "Infinity")) - Number(y.replace("inf", "Infinity")) : x.localeCompare(y, undefined, { numeric: true }));
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
    all("th[aria-sort]", table).forEach(other => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  }

  function filterRows(panel, table) {
    const words = field(panel, "filter").value.toLowerCase().split(/\s+/).filter(Boolean), rows = [...table.tBodies[0].rows];
    rows.forEach(row => {
      const text = `${row.dataset.name} ${row.textContent}`.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
    });
    const left = rows.filter(row => !row.hidden).length;
    field(panel, "shown").textContent = words.length ? `${left} of ${rows.length} trials` : `${rows.length} trial${rows.length === 1 ? "" : "s"}`;
  }

  function setUpTable(panel) {
    const table = field(panel, "trials");
    if (!table) return;
    all("th button", table).forEach(button => button.addEventListener("click", () => sortBy(table, button.closest("th"))));
    field(panel, "filter").addEventListener("input", () => filterRows(panel, table));
    filterRows(panel, table);
  }

  // ---- the page

  const CHARTS = { ranking: drawRanking, curves: drawCurves, classes: drawClasses };
  const sections = all(".sweep");
  const sweepOf = element => data.sweeps[element.closest(".sweep").dataset.index];
  const visible = element => printing || element.offsetParent !== null;

  function redraw(within = document) {
    all("[data-chart]", within).filter(visible).forEach(element =>
      CHARTS[element.dataset.chart](sweepOf(element), element, element.closest(".panel")));
  }

  // Show what an address such as #s2-curves names: the second sweep, its learning curves.
  function show(hash) {
    const [, number, name] = /^#s(\d+)(?:-(\w+))?$/.exec(hash) || [];
    const section = sections[number - 1] || sections[0];
    if (!section) return;
    sections.forEach(other => { other.hidden = other !== section; });
    const tab = document.getElementById(`${section.id}-tab-${name}`) || section.querySelector("[role=tab]");
    all("[role=tab]", section).forEach(other => {
      other.setAttribute("aria-selected", String(other === tab));
      other.tabIndex = other === tab ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).hidden = other !== tab;
    });
    const picker = document.getElementById("sweep");
    if (picker) picker.value = section.id.slice(1);
    redraw(section);
  }

  function choose(tab) {
    history.replaceState(null, "", "#" + tab.getAttribute("aria-controls"));
    show(location.hash);
    tab.focus();
  }

  function moveAmongTabs(event) {
    const tabs = all("[role=tab]", event.currentTarget), at = tabs.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(tabs[to % tabs.length]);
  }

  function setUp(section) {
    const sweep = sweepOf(section), curves = section.querySelector("[data-metric]");
    all("[role=tab]", section).forEach(tab => tab.addEventListener("click", () => choose(tab)));
    section.querySelector("[role=tablist]").addEventListener("keydown", moveAmongTabs);
    setUpTable(section);
    if (curves) {
      field(section, "train").checked = sweep.trials.number.length <= 6;
      suggestLog(sweep, section);
      curves.addEventListener("change", () => suggestLog(sweep, section));
    }
    all(".panel", section).forEach(panel => all("select, input", panel).forEach(control => {
      if (control.matches("[data-filter]")) return;
      control.addEventListener(control.type === "search" ? "input" : "change", () => redraw(panel));
    }));
  }

  function print(on) {
    printing = on;
    document.documentElement.classList.toggle("printing", on);
    redraw();
  }

  sections.forEach(setUp);
  document.getElementById("sweep")?.addEventListener("change", event => { location.hash = `#s${event.target.value}`; });
  addEventListener("hashchange", () => show(location.hash));
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
  dark.addEventListener("change", () => redraw());
  let waiting = 0;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => { if (!printing) redraw(); }, 120); });
  show(location.hash);
})();
