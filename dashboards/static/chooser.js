// A button that opens a searchable list of trials, of which one (or a few) can be chosen; quick with thousands of trials.

const LISTED = 60;

// Whether a text has a word, or one that begins with it: "3:" is in "trial 3: lr=0.1" and not in "trial 13: lr=0.1".
const hasWord = (text, word) => [...text.matchAll(/(?<![\p{L}\p{N}])[^\s]/gu)].some(({ index }) => text.startsWith(word, index));

const trialText = (sweep, i) => `trial ${sweep.trials.number[i]}: ${sweep.trials.label[i]}`;

// Offer `trials` in a <details class="chooser">. Its `chosen` lists those chosen; `changed` is called after each choice.
function setUpChooser(chooser, sweep, trials, chosen, changed) {
  Object.assign(chooser, { sweep, trials, chosen, changed, most: Number(chooser.dataset.limit) });
  const search = chooser.querySelector("input");
  search.value = "";
  search.oninput = () => listTrials(chooser);
  chooser.ontoggle = () => { if (chooser.open) { listTrials(chooser); search.focus(); } };
  chooser.onkeydown = event => moveInChooser(chooser, event);
  describeChoice(chooser);
}

function describeChoice(chooser) {
  const { chosen, sweep } = chooser;
  chooser.querySelector("summary b").textContent = chosen.length === 1 ? trialText(sweep, chosen[0]) : `${chosen.length} trials`;
}

function listTrials(chooser) {
  const { sweep, trials, chosen } = chooser, words = chooser.querySelector("input").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = trials.filter(i => words.every(word => hasWord(trialText(sweep, i).toLowerCase(), word)));
  const ticked = chosen.length > 1 && !words.length ? chosen : [];
  const listed = [...ticked, ...found.filter(i => !ticked.includes(i)).slice(0, LISTED)];
  chooser.querySelector("ul").replaceChildren(...listed.map(i => choice(chooser, i)));
  const more = found.length - listed.length, few = chooser.most > 1 ? `At most ${chooser.most}. ` : "";
  chooser.querySelector(".note").textContent = few + (found.length ? more > 0 ? `${count(more, "more trial")}: search to find them.` : "" : "No such trial.");
}

function choice(chooser, i) {
  const { sweep, chosen, most } = chooser, isChosen = chosen.includes(i);
  const disabled = most > 1 && !isChosen && chosen.length >= most;
  const input = make("input", { type: most === 1 ? "radio" : "checkbox", checked: isChosen, disabled, value: i });
  input.addEventListener("change", () => pick(chooser, i));
  const rank = i === sweep.best ? "best" : `rank ${i + 1}`;
  return make("li", {}, make("label", {}, input, make("span", {}, isolated(trialText(sweep, i)), make("small", {}, rank))));
}

// One trial: choose it and close. Several: add it or take it away, but never the last.
function pick(chooser, i) {
  const { chosen, most } = chooser;
  if (most === 1) chooser.chosen = [i];
  else if (!chosen.includes(i)) chooser.chosen = [...chosen, i];
  else if (chosen.length > 1) chooser.chosen = chosen.filter(other => other !== i);
  describeChoice(chooser);
  if (most === 1) closeChooser(chooser);
  else {
    listTrials(chooser);
    chooser.querySelector(`input[value="${i}"]`)?.focus();
  }
  chooser.changed();
}

function closeChooser(chooser) {
  chooser.open = false;
  chooser.querySelector("summary").focus();
}

function moveInChooser(chooser, event) {
  if (event.key === "Escape") return closeChooser(chooser);
  const inputs = all("input:not(:disabled)", chooser), at = inputs.indexOf(document.activeElement);
  const to = at + { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!chooser.open || !inputs[to]) return;
  event.preventDefault();
  inputs[to].focus();
}

document.addEventListener("click", event => all(".chooser[open]").forEach(chooser => {
  if (event.target.isConnected && !chooser.contains(event.target)) chooser.open = false;
}));
