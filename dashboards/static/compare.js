// Two trials on the same images, class by class.

const IMAGES = { test: "test", val: "validation" };
const imagesOf = (sweep, part) => sweep.images[field(part, "images").value];

// Two choosers, A and B, over the trials of the chosen set of images; `start` are the places of the first choice.
function setUpPair(sweep, part) {
  const choosers = ["a", "b"].map(which => field(part, which));
  const choose = () => {
    const images = imagesOf(sweep, part), [a, b] = images.pair || [0, 0];
    [a, b].forEach((place, n) => setUpChooser(choosers[n], sweep, images.trials, [images.trials[place]], () => redraw(part)));
  };
  field(part, "images").addEventListener("change", choose);
  field(part, "swap").addEventListener("click", () => {
    [choosers[0].chosen, choosers[1].chosen] = [choosers[1].chosen, choosers[0].chosen];
    choosers.forEach(describeChoice);
    redraw(part);
  });
  choose();
}

const pairOf = part => ["a", "b"].map(which => field(part, which).chosen[0]);

// Why two trials cannot be compared, or nothing.
function notComparable(images, [a, b]) {
  if (!images.pair) return "Only one trial was tested on these images; a comparison needs two.";
  return a === b ? "A and B are the same trial: choose another." : "";
}

function drawComparison(sweep, element) {
  const part = element.closest("[data-part]"), images = imagesOf(sweep, part), [a, b] = pairOf(part);
  const obstacle = notComparable(images, [a, b]);
  if (obstacle) return element.replaceChildren(make("p", { class: "empty" }, obstacle));
  const result = comparePair(labelsOf(images), predictionsOf(images, a), predictionsOf(images, b), images.names.length);
  const wanted = field(part, "find-compared").value.trim().toLowerCase();
  const order = (x, y) => x.logHolm - y.logHolm || x.logP - y.logP || Math.abs(gain(y)) - Math.abs(gain(x)) || x.class - y.class;
  const rows = [...result.classes].sort(order).filter(row => !wanted || images.names[row.class].toLowerCase().includes(wanted));
  const most = Math.max(1, ...result.classes.map(row => Math.max(row.onlyA, row.onlyB)));
  element.replaceChildren(
    overallSentence(sweep, images, result.overall, a, b), verdictSentence(images, result.classes),
    sortable("Classes on which the two trials differ", COMPARED, rows.map(row => comparedRow(images, row, most))));
}

const gain = row => (row.onlyA - row.onlyB) / row.images;
const rightA = row => row.both + row.onlyA, rightB = row => row.both + row.onlyB;
const verdict = row => (isSignificant(row.logHolm) ? (row.onlyA > row.onlyB ? "A better" : "B better") : "");

const COMPARED = [
  ["class", "text"], ["A − B", "n", "difference in percentage points"], ["p (Holm)", "n", "adjusted for the number of classes"],
  ["verdict", "", "at the 5 % level after Holm's correction"], ["B ◂ ▸ A", "middle", "images that only one of them has right"],
  ["only A", "n", "images that only A has right"], ["only B", "n", "images that only B has right"], ["p", "n", "exact two-sided McNemar test"],
  ["A right %", "n", "of the class's images"], ["B right %", "n", "of the class's images"], ["images", "n"],
];

function comparedRow(images, row, most) {
  const right = number => [(100 * number / row.images).toFixed(1), number / row.images];
  return [
    className(images, row.class), [points(gain(row)), gain(row)], [probability(row.logHolm), row.logHolm], [make("b", {}, verdict(row)), verdict(row)],
    [duel(row, most), gain(row)], [row.onlyA, row.onlyA], [row.onlyB, row.onlyB], [probability(row.logP), row.logP],
    right(rightA(row)), right(rightB(row)), [row.images, row.images],
  ];
}

// Images that only B has right to the left, those that only A has right to the right.
function duel(row, most) {
  const [colourA, colourB] = theme().categories, side = (images, colour) =>
    make("i", { style: `width: ${(100 * images) / most}%; background: ${colour}` });
  return make("span", { class: "duel", "aria-hidden": "true" }, side(row.onlyB, colourB), side(row.onlyA, colourA));
}

function overallSentence(sweep, images, row, a, b) {
  const trial = (letter, i, right, n) => [
    make("i", { class: "swatch", style: `background: ${theme().categories[n]}` }), make("b", {}, letter), ", ", isolated(clip(trialText(sweep, i), 90)),
    `, is right on ${right.toLocaleString("en")} of ${row.images.toLocaleString("en")} ${IMAGES[images.split]} images (${percent(right / row.images)})`,
  ];
  const sure = isSignificant(row.logP) ? "more than chance would explain" : "no more than chance would explain";
  return make("p", { class: "finding" }, ...trial("A", a, rightA(row), 0), "; ", ...trial("B", b, rightB(row), 1),
    `. Difference ${points(gain(row), 2)} points: ${count(row.onlyA, "image")} only A has right, ${count(row.onlyB, "image")} only B. `,
    `Overall that is ${sure} (McNemar p ${probability(row.logP)}).`);
}

function verdictSentence(images, rows) {
  const better = which => rows.filter(row => verdict(row) === which).sort((x, y) => Math.abs(gain(y)) - Math.abs(gain(x)));
  const named = found => found.slice(0, 5).map(row => `\u2068${clip(images.names[row.class], 40)}\u2069 (${points(gain(row))})`).join(", ") +
    (found.length > 5 ? ` and ${found.length - 5} more` : "");
  const [gained, lost] = [better("A better"), better("B better")], ahead = rows.filter(row => row.onlyA > row.onlyB).length;
  const behind = rows.filter(row => row.onlyA < row.onlyB).length;
  const told = [gained.length ? `A gains ${named(gained)}. ` : "", lost.length ? `A loses ${named(lost)}. ` : ""].join("");
  const score = `A is ahead on ${count(ahead, "class")}, behind on ${behind} and level on ${rows.length - ahead - behind}. `;
  const clear = told ? `Clear at the 5 % level after Holm's correction for ${count(rows.length, "class")}: ${told}` :
    `No difference on a single class is clear at the 5 % level after Holm's correction for ${count(rows.length, "class")}.`;
  return make("p", { class: "finding" }, score + clear);
}
