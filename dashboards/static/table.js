// The trials table: sorting and filtering.

function sortBy(table, heading) {
  const column = heading.cellIndex, was = heading.getAttribute("aria-sort");
  const highFirst = /top[15]$/.test(heading.title);
  const down = was ? was === "ascending" : highFirst;
  const value = row => { const cell = row.cells[column]; return cell.dataset.v ?? cell.textContent; };
  const isNumber = heading.classList.contains("n");
  const order = (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === "" || y === "") return (x === "") - (y === "");
    return (down ? -1 : 1) * (isNumber ? Number(x.replace("inf", "Infinity")) - Number(y.replace("inf", "Infinity")) : x.localeCompare(y, undefined, { numeric: true }));
  };
  table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
  all("th[aria-sort]", table).forEach(other => other.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
}

// Every table is filtered; the count is of the one that is shown.
function filterRows(panel, tables) {
  const words = field(panel, "filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const current = field(panel, "board")?.value || "trials";
  for (const table of tables) {
    const rows = [...table.tBodies[0].rows], what = "cells" in table.dataset ? "cell" : "trial";
    rows.forEach(row => {
      const text = `${row.dataset.name} ${row.textContent}`.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
    });
    if (current !== `${what}s`) continue;
    const left = rows.filter(row => !row.hidden).length;
    field(panel, "shown").textContent = words.length ? `${left} of ${rows.length} ${what}s` : `${rows.length} ${what}${rows.length === 1 ? "" : "s"}`;
  }
}

function setUpTable(panel) {
  const tables = all("[data-cells], [data-trials]", panel);
  if (!tables.length) return;
  tables.forEach(table =>
    all("th button", table).forEach(button => button.addEventListener("click", () => sortBy(table, button.closest("th")))));
  field(panel, "filter").addEventListener("input", () => filterRows(panel, tables));
  field(panel, "board")?.addEventListener("change", event => {
    all("[data-of]", panel).forEach(part => { part.hidden = part.dataset.of !== event.target.value; });
    filterRows(panel, tables);
  });
  filterRows(panel, tables);
}
