// The page: tabs, addresses, printing.

const CHARTS = {
  ranking: drawRanking, curves: drawCurves, classes: drawClasses, bars: drawBars, comparison: drawComparison, effects: drawEffects,
  confusion: drawConfusion, confusedPairs: drawConfusedPairs, confusionChange: drawConfusionChange, changedPairs: drawChangedPairs,
  parallel: drawParallel, slice: drawSlice, pair: drawPair, importances: drawImportances,
  sweepRanks: drawSweepRanks, sweepCurves: drawSweepCurves, pictures: drawPictures,
};
const sections = all(".sweep");
const sweepOf = element => data.sweeps[element.closest(".sweep")?.dataset.index];
const visible = element => printing || (element.offsetParent !== null && !element.closest(".comparison:not([open])"));

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
  all("[data-bars]", section).forEach(chooser => setUpBars(sweep, chooser.closest(".panel")));
  all("[data-a]", section).forEach(chooser => setUpPair(sweep, chooser.closest("[data-part]")));
  all(".panel", section).forEach(panel => all("select, input", panel).forEach(control => {
    if (control.matches("[data-filter], .chooser *")) return;
    control.addEventListener(control.type === "search" ? "input" : "change", () => redraw(control.closest("[data-part]") || panel));
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
document.getElementById("unready").remove();  // it spared laying out, while the page loaded, what is not shown at first
show(location.hash);
all(".comparison").forEach(comparison => {
  comparison.addEventListener("toggle", () => redraw(comparison));
  redraw(comparison);
});
