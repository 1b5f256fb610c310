// What every part of the page uses. The files of this folder are joined into one script, this one first, start.js last.

const data = JSON.parse(document.getElementById("data").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const PRINT_WIDTH = 680, LETTER = 6.6, NOT_SET = "not set";
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
