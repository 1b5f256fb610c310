// Elements made of texts that are never read as HTML: make("td", { class: "n" }, "12", element, ...).

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  Object.entries(attributes).filter(([, value]) => value !== undefined && value !== false).forEach(([name, value]) => {
    if (name in element && typeof value === "boolean") element[name] = value;
    else element.setAttribute(name, value);
  });
  element.append(...children);
  return element;
}

const isolated = text => make("bdi", {}, text);
const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : noun.endsWith("s") ? "es" : "s"}`;
const SUPERSCRIPTS = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

// A probability, given as its natural logarithm.
function probability(log) {
  if (log > Math.log(0.0995)) return Math.exp(log).toFixed(2);
  if (log > Math.log(0.0001)) return String(Number(Math.exp(log).toPrecision(2)));
  let exponent = Math.floor(log / Math.LN10), digits = Math.exp(log - exponent * Math.LN10).toFixed(1);
  if (digits === "10.0") [exponent, digits] = [exponent + 1, "1.0"];
  return `${digits} × 10${[...String(exponent)].map(character => SUPERSCRIPTS[character]).join("")}`;
}

const points = (share, digits = 1) => {
  const text = Math.abs(100 * share).toFixed(digits);
  return (Number(text) === 0 ? "" : share > 0 ? "+" : "−") + text;
};

// A table of [heading, cell class] columns whose headings sort it; rows are lists of cells, each [text or element, sort value].
function sortable(label, columns, rows) {
  const heads = columns.map(([text, kind, title]) => make("th", { scope: "col", class: kind, title }, make("button", { type: "button" }, text)));
  const body = rows.map(cells => make("tr", {}, ...cells.map(([content, value], i) =>
    make("td", { class: columns[i][1], "data-v": value }, content))));
  const table = make("table", { class: "trials" }, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...body));
  heads.forEach(head => head.firstChild.addEventListener("click", () => sortBy(table, head)));
  return make("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": label }, table);
}
