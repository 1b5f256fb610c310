// Accuracy of chosen trials on each class, with 95 % Wilson intervals.

function setUpBars(sweep, panel) {
  const chooser = field(panel, "bars"), part = chooser.closest("[data-part]");
  const choose = () => {
    const trials = sweep.classes[field(panel, "split").value].trials;
    const kept = (chooser.chosen || []).filter(i => trials.includes(i));
    setUpChooser(chooser, sweep, trials, kept.length ? kept : trials.slice(0, 2), () => redraw(part));
  };
  field(panel, "split").addEventListener("change", choose);
  choose();
}

function drawBars(sweep, element, panel) {
  const split = sweep.classes[field(panel, "split").value], { chosen } = field(panel, "bars");
  const found = classOrder(split, field(panel, "order").value, field(panel, "find").value);
  const most = Number(field(panel, "most").value) || found.length, classes = found.slice(0, most);
  const { data: [prototype], layout: base } = data.figures.bars, look = theme();
  const thickness = Math.max(9, 24 / chosen.length), height = classes.length * (thickness * chosen.length + 9) + 84;
  const narrow = (printing ? PRINT_WIDTH : element.clientWidth) < 600;
  const traces = chosen.map((trial, n) => {
    const row = split.trials.indexOf(trial), color = look.categories[n];
    const bars = classes.map(c => bar(sweep, split, row, c)), of = key => bars.map(one => one[key]);
    return {
      ...prototype, name: plain(trialText(sweep, trial), narrow ? 40 : 70), y: range(classes.length), x: of("value"), hovertext: of("text"),
      error_x: { ...prototype.error_x, array: of("above"), arrayminus: of("below"), color: look.ink }, marker: { color, opacity: 0.78 },
    };
  });
  const yaxis = { ...base.yaxis, ...ticks(classes.map(c => plain(split.names[c], narrow ? 14 : 26)), 1), range: [classes.length - 0.5, -0.5], autorange: false };
  const top = narrow ? 20 + 20 * chosen.length : base.margin.t + 20 * Math.floor((chosen.length - 1) / 2);
  draw(element, traces, { ...base, yaxis, height: height + top, margin: { ...base.margin, t: top }, legend: { ...base.legend, y: 1, yref: "paper" } });
  field(panel, "bars-left").textContent = found.length > classes.length ? `${count(found.length - classes.length, "more class")} not shown: find them by name above, or show all.` : "";
}

// One bar: its length, how far its interval reaches, and what it says; nothing for a class without images.
function bar(sweep, split, row, c) {
  const interval = wilson(split.correct[row][c], split.images[row][c]);
  if (!interval) return { value: null, above: 0, below: 0, text: "" };
  const value = ratio(split, row, c), [low, high] = interval;
  const text = `${hoverText(sweep, split, row, c)}<br>95 % interval: ${percent(low)} to ${percent(high)}`;
  return { value, above: high - value, below: value - low, text };
}
