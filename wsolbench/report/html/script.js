"use strict";
// Sorting within blocks, and a filter over rows. Without scripts, the page shows all rows in the order of the settings.
function key(row, column) {
  const cell = row.cells[column];
  const value = cell.dataset.value;
  return value === undefined ? cell.textContent.trim() : Number(value);
}
function compare(first, second) {
  if (typeof first !== typeof second) return typeof first === "number" ? -1 : 1; // "n/a" stays last
  return typeof first === "number" ? first - second : first.localeCompare(second, "en");
}
function rowsOf(body) {
  return [...body.rows].filter((row) => !row.classList.contains("block"));
}
function sort(table, column, descending) {
  for (const body of table.tBodies) {
    const rows = rowsOf(body).sort((one, other) => {
      const [first, second] = [key(one, column), key(other, column)];
      return (descending && typeof first === typeof second ? -1 : 1) * compare(first, second);
    });
    body.append(...rows);
  }
}
// The first click sorts numbers from the largest down and names from A on, the second the other way, the third not at all.
function addSorting(table) {
  const original = [...table.tBodies].map((body) => [body, rowsOf(body)]);
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const numbers = table.querySelector(`tbody tr:not(.block) :nth-child(${column + 1})[data-value]`) !== null;
      const before = head.getAttribute("aria-sort");
      const descending = before === null ? numbers : before === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      if (before === (numbers ? "ascending" : "descending")) {
        for (const [body, rows] of original) body.append(...rows);
        return;
      }
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sort(table, column, descending);
    });
  });
}
function addFilter(region, table) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  const count = document.createElement("span");
  const line = document.createElement("div");
  input.type = "search";
  label.append("Show rows with ", input);
  count.setAttribute("role", "status");
  line.className = "filter";
  line.append(label, count);
  region.before(line);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = [...table.tBodies].flatMap(rowsOf);
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    for (const body of table.tBodies) {
      const heading = body.querySelector(".block");
      if (heading) heading.hidden = ![...body.rows].some((row) => row !== heading && !row.hidden);
    }
    const shown = rows.filter((row) => !row.hidden).length;
    count.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
  });
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => (each.open = true)));
for (const region of document.querySelectorAll(".scroll")) {
  const table = region.querySelector("table");
  addSorting(table);
  addFilter(region, table);
}
