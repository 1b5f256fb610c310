// Statistics of trials and pairs of trials, as pure functions. Probabilities are natural logarithms: thousands of
// images on which two trials differ make them smaller than any number that a browser holds.

const NORMAL_975 = 1.959963984540054, SIGNIFICANT = 0.05;

// The 95 % score interval of a share (Wilson 1927): [low, high]; null without images.
function wilson(correct, images) {
  if (!images) return null;
  const share = correct / images, z2 = NORMAL_975 ** 2 / images;
  const half = Math.sqrt(z2 * (share * (1 - share) + z2 / 4));
  const high = (share + z2 / 2 + half) / (1 + z2);
  return [share ** 2 / ((1 + z2) * high), Math.min(1, high)]; // the product of both ends is share² / (1 + z2)
}

// log n! - log(sqrt(2 pi n) (n / e)^n), the error of Stirling's formula; 0 for n = 0.
function stirlingError(n) {
  if (n > 15) return (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / n ** 2) / n ** 2) / n ** 2) / n;
  let factorial = 1;
  for (let i = 2; i <= n; i++) factorial *= i;
  return n ? Math.log(factorial) - 0.5 * Math.log(2 * Math.PI * n) - n * Math.log(n) + n : 0;
}

// log of the chance of exactly k heads in n tosses of a fair coin, by the saddle-point form of Loader (2000).
function logHeads(k, n) {
  if (k === 0 || k === n) return -n * Math.LN2;
  const tilt = (2 * k - n) / n, deviance = k * Math.log1p(tilt) + (n - k) * Math.log1p(-tilt);
  const errors = stirlingError(n) - stirlingError(k) - stirlingError(n - k);
  return errors - deviance + 0.5 * Math.log(n / (2 * Math.PI * k * (n - k)));
}

// log p of the exact two-sided McNemar test (McNemar 1947): one trial alone is right on b images, the other alone on c.
function logMcNemar(b, c) {
  const n = b + c, least = Math.min(b, c);
  if (n - 2 * least < 2) return 0;
  let sum = 1, term = 1;
  for (let k = least; k > 0 && term > 1e-18 * sum; k--) sum += term *= k / (n - k + 1);
  return Math.min(0, Math.LN2 + logHeads(least, n) + Math.log(sum));
}

// log p, adjusted for how many there are by Holm's step-down method (Holm 1979).
function logHolm(logs) {
  const adjusted = new Array(logs.length);
  let largest = -Infinity;
  logs.map((_, i) => i).sort((i, j) => logs[i] - logs[j]).forEach((i, step) => {
    largest = Math.max(largest, Math.min(0, Math.log(logs.length - step) + logs[i]));
    adjusted[i] = largest;
  });
  return adjusted;
}

// On how many images of each class two trials are right, with the sums over all classes as the last row.
function tally(labels, a, b, classes) {
  const rows = Array.from({ length: classes + 1 }, () => ({ images: 0, both: 0, onlyA: 0, onlyB: 0 }));
  labels.forEach((label, n) => {
    const rightA = a[n] === label, rightB = b[n] === label;
    for (const row of [rows[label], rows[classes]]) {
      row.images++;
      if (rightA && rightB) row.both++;
      else if (rightA) row.onlyA++;
      else if (rightB) row.onlyB++;
    }
  });
  return rows;
}

// Two trials on the same images: `overall`, and `classes` (those that have images) with p adjusted for their number.
function comparePair(labels, a, b, classes) {
  const rows = tally(labels, a, b, classes).map((row, at) => ({ ...row, class: at, logP: logMcNemar(row.onlyA, row.onlyB) }));
  const overall = rows.pop(), compared = rows.filter(row => row.images);
  const adjusted = logHolm(compared.map(row => row.logP));
  return { overall, classes: compared.map((row, i) => ({ ...row, logHolm: adjusted[i] })) };
}

const isSignificant = log => log <= Math.log(SIGNIFICANT);

// A matrix of counts: true classes down, predicted classes across.
function confusionMatrix(labels, predicted, classes) {
  const counts = Array.from({ length: classes }, () => new Array(classes).fill(0));
  labels.forEach((label, n) => counts[label][predicted[n]]++);
  return counts;
}
