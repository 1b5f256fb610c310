// What each trial took each image for.

function unpacked(text, width) {
  const bytes = Uint8Array.from(atob(text), character => character.charCodeAt(0));
  return width === 1 ? bytes : Uint16Array.from({ length: bytes.length / 2 }, (_, n) => bytes[2 * n] + 256 * bytes[2 * n + 1]);
}

const labelsOf = images => (images.unpackedLabels ??= unpacked(images.labels, images.width));

function predictionsOf(images, trial) {
  images.unpacked ??= new Map();
  if (!images.unpacked.has(trial)) images.unpacked.set(trial, unpacked(images.predicted[images.trials.indexOf(trial)], images.width));
  return images.unpacked.get(trial);
}

// A cell of a table: the name of a class and what it sorts by.
const className = (images, c) =>
  [make("span", { title: `${images.names[c]} (${images.ids[c]})` }, isolated(clip(images.names[c], 50))), images.names[c]];
