// Which classes are taken for which, by one trial and between two.

const LISTED_PAIRS = 25;

const confusionOf = (images, trial) => confusionMatrix(labelsOf(images), predictionsOf(images, trial), images.names.length);
const total = row => row.reduce((sum, value) => sum + value, 0);
const shares = matrix => matrix.map(row => { const images = total(row); return row.map(value => (images ? value / images : null)); });

// The classes to draw: those whose names match, and those that they are most often confused with.
function confusedClasses(images, part, matrices) {
  const wanted = field(part, "find-confused").value.trim().toLowerCase(), classes = range(images.names.length);
  const found = classes.filter(c => images.names[c].toLowerCase().includes(wanted));
  if (!wanted || !found.length) return classes;
  const weight = c => total(found.map(f => total(matrices.map(matrix => matrix[f][c] + matrix[c][f]))));
  const others = classes.filter(c => !found.includes(c) && weight(c)).sort((x, y) => weight(y) - weight(x)).slice(0, 12);
  return [...found, ...others];
}

function drawConfusion(sweep, element) {
  const part = element.closest("[data-part]"), images = imagesOf(sweep, part), [a] = pairOf(part);
  const counts = confusionOf(images, a), classes = confusedClasses(images, part, [counts]), errors = field(part, "errors").checked;
  const isShare = field(part, "unit").value === "share", z = isShare ? shares(counts) : counts;
  const shown = classes.map(r => classes.map(c => (errors && r === c ? null : z[r][c])));
  const text = (r, c) => {
    const share = total(counts[r]) ? ` (${percent(counts[r][c] / total(counts[r]))})` : "";
    return `<b>${plain(images.names[r], 60)}</b> taken for <b>${plain(images.names[c], 60)}</b><br>${counts[r][c]} of ${total(counts[r])} images${share}`;
  };
  const unit = isShare ? { tickformat: ".0%" } : { tickformat: "" };
  drawMatrix(element, images, classes, shown, text, { zmin: 0, zmax: undefined, unit, label: v => (isShare ? (100 * v).toFixed(0) : v) });
}

function drawConfusionChange(sweep, element) {
  const part = element.closest("[data-part]"), images = imagesOf(sweep, part), [a, b] = pairOf(part), obstacle = notComparable(images, [a, b]);
  element.hidden = Boolean(obstacle);
  if (obstacle) return;
  const [ofA, ofB] = [confusionOf(images, a), confusionOf(images, b)], classes = confusedClasses(images, part, [ofA, ofB]);
  const isShare = field(part, "unit").value === "share", [x, y] = isShare ? [shares(ofA), shares(ofB)] : [ofA, ofB];
  const shown = classes.map(r => classes.map(c => (x[r][c] === null ? null : x[r][c] - y[r][c])));
  const text = (r, c) => `<b>${plain(images.names[r], 60)}</b> taken for <b>${plain(images.names[c], 60)}</b><br>` +
    `A ${ofA[r][c]}, B ${ofB[r][c]} of ${total(ofA[r])} images`;
  const most = Math.max(1e-9, ...shown.map(row => Math.max(...row.map(value => Math.abs(value || 0)))));
  const label = v => (v ? points(isShare ? v : v / 100, 0) : "");
  drawMatrix(element, images, classes, shown, text, { zmin: -most, zmax: most, colorscale: theme().change, unit: { tickformat: isShare ? "+.0%" : "+d" }, label });
}

function drawMatrix(element, images, classes, z, text, { zmin, zmax, colorscale, unit, label }) {
  const { data: [prototype], layout: base } = data.figures.confusion, width = printing ? PRINT_WIDTH : element.clientWidth;
  const letters = width < 600 ? 10 : 22, names = distinct(classes.map(c => images.names[c]), letters);
  const longest = Math.max(...names.map(name => name.length - 2), 1), room = Math.min(width, 900) - 110 - LETTER * longest;
  const cell = Math.max(2, Math.min(width < 600 ? 26 : 46, room / classes.length)), side = cell * classes.length;
  const labelled = classes.length <= 24 && cell >= 20;
  const trace = {
    ...prototype, x: names, y: names, z, zmin, zmax, ...(colorscale ? { colorscale } : {}),
    hovertext: classes.map(r => classes.map(c => text(r, c))), showscale: true, colorbar: { ...prototype.colorbar, ...unit },
    ...(labelled ? { text: z.map(row => row.map(v => (v === null ? "" : String(label(v))))), texttemplate: "%{text}" } : {}),
    ...(cell < 7 ? { xgap: 0, ygap: 0 } : {}),
  };
  const axis = { type: "category", nticks: Math.max(2, Math.floor(side / 14)), range: undefined, autorange: true };
  const angle = longest * 7 < cell ? 0 : -90, top = 40 + (angle ? longest * 7 : 16);
  draw(element, [trace], {
    ...base, xaxis: { ...base.xaxis, ...axis, tickangle: angle }, yaxis: { ...base.yaxis, ...axis, autorange: "reversed" },
    height: top + side + 16, margin: { ...base.margin, t: top, r: Math.max(8, width - side - LETTER * longest - 60) },
  });
}

// Names as labels of an axis, cut short, no two the same.
function distinct(names, most) {
  const seen = new Map();
  return names.map(name => {
    const text = plain(name, most), times = (seen.get(text) || 0) + 1;
    seen.set(text, times);
    return times === 1 ? text : plain(`${clip(name, most - 3)} ·${times}`, most + 4);
  });
}

// Every true -> predicted pair of different classes as [true, predicted].
const errorPairs = classes => range(classes).flatMap(r => range(classes).filter(c => c !== r).map(c => [r, c]));

function drawConfusedPairs(sweep, element) {
  const part = element.closest("[data-part]"), images = imagesOf(sweep, part), [a] = pairOf(part), counts = confusionOf(images, a);
  const most = errorPairs(counts.length).filter(([r, c]) => counts[r][c]).sort(([r, c], [s, d]) => counts[s][d] - counts[r][c] || r - s || c - d);
  if (!most.length) return element.replaceChildren(make("p", { class: "empty" }, "This trial mistook no image."));
  const rows = most.slice(0, LISTED_PAIRS).map(([r, c]) => {
    const share = counts[r][c] / total(counts[r]);
    return [className(images, r), className(images, c), [counts[r][c], counts[r][c]], [(100 * share).toFixed(1), share]];
  });
  const columns = [["true", "text"], ["predicted", "text"], ["images", "n"], ["%", "n", "of the true class's images"]];
  element.replaceChildren(sortable("Most confused pairs", columns, rows));
}

function drawChangedPairs(sweep, element) {
  const part = element.closest("[data-part]"), images = imagesOf(sweep, part), [a, b] = pairOf(part), obstacle = notComparable(images, [a, b]);
  if (obstacle) return element.replaceChildren(make("p", { class: "empty" }, obstacle));
  const [ofA, ofB] = [confusionOf(images, a), confusionOf(images, b)], change = ([r, c]) => ofA[r][c] - ofB[r][c];
  const most = errorPairs(ofA.length).filter(change).sort((x, y) => Math.abs(change(y)) - Math.abs(change(x)) || x[0] - y[0] || x[1] - y[1]);
  if (!most.length) return element.replaceChildren(make("p", { class: "empty" }, "Both trials confuse the same classes equally often."));
  const rows = most.slice(0, LISTED_PAIRS).map(([r, c]) => [
    className(images, r), className(images, c), [ofA[r][c], ofA[r][c]], [ofB[r][c], ofB[r][c]],
    [points(change([r, c]) / 100, 0), change([r, c])], [points(change([r, c]) / total(ofA[r])), change([r, c]) / total(ofA[r])],
  ]);
  const columns = [["true", "text"], ["predicted", "text"], ["A", "n"], ["B", "n"], ["A − B", "n"], ["points", "n", "of the true class's images, in per cent"]];
  element.replaceChildren(sortable("Pairs that change most between the two trials", columns, rows));
}
