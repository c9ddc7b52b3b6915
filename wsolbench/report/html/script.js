"use strict";
// What is shown at a time, in which order, and details. Without scripts, the page shows everything in the settings' order.
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const one = (selector, within = document) => within.querySelector(selector);
function made(tag, text = "", name = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = name;
  return element;
}

// Tabs
const tabs = all("nav a");
const panels = all(".panel");
function select(id, focus) {
  const chosen = panels.find((panel) => panel.id === id) || panels.find((panel) => one(".ranking", panel)) || panels[0];
  for (const panel of panels) panel.hidden = panel !== chosen;
  for (const tab of tabs) {
    const on = tab.hash === `#${chosen.id}`;
    tab.setAttribute("aria-selected", on);
    tab.tabIndex = on ? 0 : -1;
    if (on && focus) tab.focus();
  }
}
one("nav").setAttribute("role", "tablist");
tabs.forEach((tab, place) => {
  tab.setAttribute("role", "tab");
  tab.setAttribute("aria-controls", tab.hash.slice(1));
  const go = (other) => {
    history.replaceState(null, "", other.hash);
    select(other.hash.slice(1), true);
  };
  tab.addEventListener("click", (event) => {
    event.preventDefault();
    go(tab);
  });
  tab.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1 };
    if (event.key in steps) go(tabs[(place + steps[event.key] + tabs.length) % tabs.length]);
  });
});
panels.forEach((panel) => panel.setAttribute("role", "tabpanel"));
addEventListener("hashchange", () => select(location.hash.slice(1)));
select(location.hash.slice(1));

// Images: one after the other, or all, of those that a rule chose
function addGallery(gallery) {
  const pictures = all(".picture", gallery);
  const [rule, every, count] = [one("select", gallery), one(".all", gallery), one("output", gallery)];
  let at = 0;
  function show(step) {
    const places = new Map(pictures.map((each) => [each, each.dataset.places.split(" ").find((place) => place.startsWith(`${rule.value}:`))]));
    const chosen = pictures.filter((each) => places.get(each)).sort((a, b) => places.get(a).split(":")[1] - places.get(b).split(":")[1]);
    at = (at + step + chosen.length) % chosen.length;
    for (const each of pictures) each.hidden = !(chosen.includes(each) && (every.checked || chosen[at] === each));
    one(".pictures", gallery).prepend(...chosen);
    count.textContent = every.checked ? `all ${chosen.length}` : `${at + 1} of ${chosen.length}`;
    for (const button of all(".step", gallery)) button.disabled = every.checked;
  }
  for (const button of all(".step", gallery)) button.addEventListener("click", () => show(Number(button.value)));
  every.addEventListener("change", () => show(0));
  rule.addEventListener("change", () => {
    at = 0;
    show(0);
  });
  show(0);
}
all(".gallery").forEach(addGallery);

function shotsOf(panel, row) {
  return all(`.picture figure[data-row="${row}"]`, panel).map((figure) => {
    const shot = figure.cloneNode(true);
    const photograph = one(".photograph figcaption", figure.parentElement).cloneNode(true);
    one("button", shot).replaceWith(...photograph.childNodes, document.createElement("br"));
    shot.removeAttribute("data-row");
    return shot;
  });
}

// The table: groups of columns, filter, order
function addTable(board) {
  const [table, words, count] = [one("table", board), one("[type=search]", board), one("output", board)];
  const panel = board.closest(".panel");
  const heads = [...table.tHead.rows[0].cells];
  const rowsOf = (body) => all("tr[data-row]", body);
  const original = [...table.tBodies].map((body) => [body, rowsOf(body)]);
  const rows = original.flatMap(([, found]) => found);
  const close = () => {
    all(".shots", table).forEach((row) => row.remove());
    all("[aria-expanded]", table).forEach((button) => button.setAttribute("aria-expanded", false));
  };
  function showColumns() {
    const on = all("fieldset input:checked", board).map((input) => input.value);
    heads.forEach((head, column) => {
      head.hidden = Boolean(head.dataset.groups) && !head.dataset.groups.split(" ").some((group) => on.includes(group));
      for (const row of rows) row.cells[column].hidden = head.hidden;
    });
    const shown = heads.filter((head) => !head.hidden).length;
    for (const cell of all("[colspan]", table)) cell.colSpan = shown;
  }
  function filter() {
    close();
    const asked = words.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
    for (const [body, found] of original) {
      for (const row of found) {
        const text = `${row.cells[0].textContent} ${row.cells[1].textContent}`.toLowerCase();
        row.hidden = asked.length > 0 && !asked.some((word) => text.includes(word));
      }
      one(".block", body).hidden = found.every((row) => row.hidden);
    }
    count.textContent = asked.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} methods` : "";
  }
  function restore() {
    close();
    for (const head of heads) head.removeAttribute("aria-sort");
    for (const [body, found] of original) body.append(...found);
  }
  function value(row, column) {
    const cell = row.cells[column];
    return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
  }
  function sort(column, descending) {
    restore();
    heads[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
    for (const [body, found] of original) {
      const sorted = [...found].sort((one, other) => {
        const [a, b] = [value(one, column), value(other, column)];
        if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1; // "n/a" stays last
        return (descending ? -1 : 1) * (typeof a === "number" ? a - b : a.localeCompare(b, "en"));
      });
      body.append(...sorted);
    }
  }
  // The first click sorts numbers from the largest down and names from A on, the second the other way, the third not.
  heads.forEach((head, column) => {
    const button = made("button", head.textContent);
    button.type = "button";
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const numbers = rows.some((row) => "value" in row.cells[column].dataset);
      const states = numbers ? [null, "descending", "ascending"] : [null, "ascending", "descending"];
      const next = states[(states.indexOf(head.getAttribute("aria-sort")) + 1) % 3];
      if (next) sort(column, next === "descending");
      else restore();
    });
  });
  for (const row of panel.querySelector(".picture") ? rows : []) {
    const button = made("button", "▸", "images");
    button.setAttribute("aria-label", `Images of ${row.cells[0].textContent}`);
    button.setAttribute("aria-expanded", false);
    one(".name", row).prepend(button);
    row.addEventListener("click", (event) => {
      if (event.target.closest(".method")) return;
      const open = button.getAttribute("aria-expanded") === "true";
      close();
      if (open) return;
      button.setAttribute("aria-expanded", true);
      const [line, cell, strip] = [made("tr", "", "shots"), made("td"), made("div", "", "strip")];
      cell.colSpan = heads.filter((head) => !head.hidden).length;
      strip.append(...shotsOf(panel, row.dataset.row));
      cell.append(strip);
      line.append(cell);
      row.after(line);
    });
  }
  all("fieldset input", board).forEach((input) => input.addEventListener("change", showColumns));
  words.addEventListener("input", filter);
  one(".reset", board).addEventListener("click", () => {
    all("fieldset input", board).forEach((input) => (input.checked = input.defaultChecked));
    words.value = "";
    showColumns();
    filter();
    restore();
  });
  showColumns();
}
all(".board").forEach(addTable);

// Everything about a method
function numbersOf(panel, row) {
  const [cells, heads] = [one(`.scores tr[data-row="${row}"]`, panel).cells, one(".scores thead tr", panel).cells];
  const groups = all(".board fieldset label", panel).map((label) => label.textContent.trim());
  return groups.flatMap((group, number) => {
    const list = made("dl", "", "numbers");
    [...heads].forEach((head, column) => {
      if ((head.dataset.groups || "").split(" ")[0] !== String(number) || !("value" in cells[column].dataset)) return;
      const line = made("div");
      line.append(made("dt", head.textContent), made("dd", cells[column].textContent, cells[column].className));
      list.append(line);
    });
    return list.childElementCount ? [made("h4", group), list] : [];
  });
}
function openMethod(panel, row) {
  const dialog = one(`dialog[data-row="${row}"]`, panel);
  const filled = one(".filled", dialog);
  if (!filled.childElementCount) {
    const [curve, shots, numbers] = [one(".chart", panel).cloneNode(true), shotsOf(panel, row), numbersOf(panel, row)];
    const [strip, figure, first] = [made("div", "", "strip"), made("div"), made("div")];
    strip.append(...shots);
    mark(curve, row);
    figure.append(made("h4", one(".curves h3", panel).textContent), curve);
    first.append(...numbers.splice(0, 2));
    filled.append(...(shots.length ? [strip] : []), figure, first, ...numbers);
  }
  dialog.showModal();
}
function mark(chart, row) {
  chart.classList.toggle("pointed", one(`.line[data-row="${row}"]`, chart) !== null);
  for (const line of all(".line", chart)) line.classList.toggle("on", line.dataset.row === row);
}
for (const panel of panels.filter((each) => one(".answer", each))) {
  const point = (event) => {
    const target = event.target.closest(".ranking [data-row], .chart [data-row], .picture [data-row], .scores [data-row]");
    mark(one(".curves .chart", panel), target ? target.dataset.row : "");
  };
  panel.addEventListener("pointerover", point);
  panel.addEventListener("focusin", point);
  panel.addEventListener("click", (event) => {
    const target = event.target.closest(".method, .curves .line, .picture figure[data-row]");
    if (target) openMethod(panel, target.dataset.row);
    if (event.target.matches("dialog")) event.target.close(); // beside it
  });
}
addEventListener("beforeprint", () => all("details").forEach((each) => (each.open = true)));
