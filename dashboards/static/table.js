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

function filterRows(panel, table) {
  const words = field(panel, "filter").value.toLowerCase().split(/\s+/).filter(Boolean), rows = [...table.tBodies[0].rows];
  rows.forEach(row => {
    const text = `${row.dataset.name} ${row.textContent}`.toLowerCase();
    row.hidden = !words.every(word => text.includes(word));
  });
  const left = rows.filter(row => !row.hidden).length;
  field(panel, "shown").textContent = words.length ? `${left} of ${rows.length} trials` : `${rows.length} trial${rows.length === 1 ? "" : "s"}`;
}

function setUpTable(panel) {
  const table = field(panel, "trials");
  if (!table) return;
  all("th button", table).forEach(button => button.addEventListener("click", () => sortBy(table, button.closest("th"))));
  field(panel, "filter").addEventListener("input", () => filterRows(panel, table));
  filterRows(panel, table);
}
