"""What is asked of every tab, as expressions for a browser to evaluate."""

OVERFLOWING = """
[document.documentElement, ...document.querySelectorAll("main:not([hidden]) .panel:not([hidden]) *")].filter(e => {
  const limit = document.documentElement.clientWidth + 1, box = e.getBoundingClientRect();
  if (e === document.documentElement) return e.scrollWidth > limit;
  const scrolls = e.closest(".scroll, .chart, .frame, .tabs, dd");
  return !(scrolls && scrolls !== e) && box.width > 0 && box.right > limit;
}).map(e => e.outerHTML.slice(0, 160))
"""
"""Elements that stick out of the window to the right, unless they are in a region that scrolls."""

ODD_WORDS = r"""
(document.querySelector("main:not([hidden]) .panel:not([hidden])").innerText.match(
  /\b(undefined|NaN|null|None|Infinity|\[object \w+\]|inf)\b/g) || [])
"""
"""Words that no person should read."""

UNNAMED = """
[...document.querySelectorAll("select, input, button, .chart, img, [role=region], table")].filter(e => {
  const named = e.ariaLabel || e.alt || e.labels?.length || e.textContent.trim() || e.getAttribute("aria-labelledby");
  if (e.matches("table")) return !e.querySelector("th[scope]");
  if (e.matches(".chart")) return !(e.ariaLabel && e.role) && !e.querySelector("img");
  return !named;
}).map(e => e.outerHTML.slice(0, 160))
"""
"""Controls, charts and regions without a name for who cannot see them; tables without headings."""

HEADINGS = """
[...document.querySelectorAll("main:not([hidden]) h1, main:not([hidden]) h2, main:not([hidden]) h3, main:not([hidden]) h4")]
  .map(e => Number(e.tagName[1]))
"""

FAINT = """
(() => {
  const channel = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const colour = text => { const c = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    c.fillStyle = text; c.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = c.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
  const ground = e => {
    if (!e) return [255, 255, 255, 1];
    const own = colour(getComputedStyle(e).backgroundColor);
    return own[3] === 1 ? own : over(own, ground(e.parentElement));
  };
  const faint = [], seen = new Set();
  const walk = document.createTreeWalker(document.querySelector("main:not([hidden])"), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !e.offsetParent || e.closest("svg, option, canvas")) continue;
    const style = getComputedStyle(e), key = [style.color, e.className || e.tagName, e.parentElement.className].join("|");
    if (seen.has(key)) continue;
    seen.add(key);
    const below = ground(e), [a, b] = [light(over(colour(style.color), below)), light(below)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)} ${e.outerHTML.slice(0, 120)}`);
  }
  return faint;
})()
"""
"""Texts whose contrast with what is behind them is under 4.5 (WCAG 2.2, success criterion 1.4.3)."""

FOCUSABLE = """
[...document.querySelectorAll("a[href], button, select, input, [tabindex='0']")].filter(
  e => e.tabIndex >= 0 && e.offsetParent && !e.disabled && !e.closest("svg")).length
"""

FOCUSED = """
(() => {
  const e = document.activeElement, style = getComputedStyle(e);
  if (e === document.body) return null;
  e.dataset.visited = "yes";
  return { seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1, what: e.outerHTML.slice(0, 120) };
})()
"""
