// Which hyper-parameter moves which class: the share of variance between the levels of each axis.

const FEW_TRIALS = 5;

function drawEffects(sweep, element, panel) {
  const at = field(panel, "split").value, split = sweep.classes[at], effects = sweep.effects[at];
  const classes = classOrder(split, field(panel, "order").value, field(panel, "find").value);
  const { data: [prototype], layout: base } = data.figures.effects, z = effects.map(effect => classes.map(c => effect.share[c]));
  const width = printing ? PRINT_WIDTH : element.clientWidth, letters = width < 600 ? 12 : 30;
  const names = effects.map(effect => plain(effect.axis.replace(/^train\./, ""), letters));
  const left = LETTER * Math.max(...effects.map(effect => Math.min(letters, effect.axis.length)), 1);
  const space = columnSpace(width - left - 100, split.names, classes.length);
  const trace = {
    ...prototype, z, hovertext: effects.map(effect => classes.map(c => effectText(split, effect, c))),
    ...(space.cell >= 32 ? { text: z.map(row => row.map(v => (v === null ? "" : (100 * v).toFixed(0)))), texttemplate: "%{text}" } : {}),
    ...(space.cell < 6 ? { xgap: 0 } : {}),
  };
  const height = space.top + 16 + Math.max(effects.length * 34, 150);
  const xaxis = { ...base.xaxis, ...ticks(classes.map(c => plain(split.names[c], 22)), space.everyClass), tickangle: space.angle };
  draw(element, [trace], { ...base, xaxis, yaxis: { ...base.yaxis, ...ticks(names, 1) }, height, margin: { ...base.margin, t: space.top } });
  describeEffects(panel, effects);
}

function effectText(split, effect, c) {
  const share = effect.share[c], means = effect.levels.map((level, n) => {
    const mean = effect.means[n][c];
    return `${plain(level, 40)}: ${mean === null ? "no images" : percent(mean)} (${count(effect.trials[n], "trial")})`;
  });
  const head = share === null ? "the same in every trial" : `${percent(share, 0)} of the variance (by chance ${percent(effect.chance, 0)})`;
  return `<b>${plain(split.names[c], 60)}</b> by ${plain(effect.axis, 40)}<br>${head}<br>${means.join("<br>")}`;
}

function describeEffects(panel, effects) {
  const chances = effects.map(effect => `${effect.axis.replace(/^train\./, "")} ${percent(effect.chance, 0)}`).join(", ");
  const few = effects.filter(effect => Math.min(...effect.trials) < FEW_TRIALS);
  field(panel, "chance").textContent = `What an axis that does nothing would reach by chance: ${chances}.`;
  field(panel, "few").hidden = !few.length;
  field(panel, "few").textContent = few.length === 0 ? "" : "Caution: few trials at a level (" +
    few.map(effect => `${effect.axis.replace(/^train\./, "")}: ${effect.trials.join(", ")}`).join("; ") +
    "). With so few, chance explains much of this; more seeds or a larger grid would tell.";
}
