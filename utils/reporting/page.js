"use strict";
// Click a heading to sort by its column: ascending, descending, then the original order.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const first = [...body.rows];
  const heads = [...table.querySelectorAll("tr.heads th")];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const next = { null: "ascending", ascending: "descending", descending: null }[head.getAttribute("aria-sort")];
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      const rows = [...first];
      if (next) {
        head.setAttribute("aria-sort", next);
        const numeric = head.classList.contains("number");
        const key = (row) => row.cells[column].dataset.value;
        const number = (row) => (Number.isNaN(Number(key(row))) ? Infinity : Number(key(row))); // a dash comes last
        const compare = (a, b) => (numeric ? number(a) - number(b) : key(a).localeCompare(key(b)));
        rows.sort((a, b) => (next === "ascending" ? compare(a, b) : compare(b, a)));
      }
      body.append(...rows);
    });
  });
}
// Click a legend entry to highlight its curve.
for (const button of document.querySelectorAll(".legend button")) {
  const figure = button.closest(".figure");
  button.addEventListener("click", () => {
    const chosen = button.getAttribute("aria-pressed") !== "true";
    for (const other of figure.querySelectorAll(".legend button")) other.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", String(chosen));
    figure.classList.toggle("focus", chosen);
    for (const line of figure.querySelectorAll(".line[data-row]")) {
      const mine = chosen && line.dataset.row === button.dataset.row;
      line.classList.toggle("chosen", mine);
      if (mine) line.parentNode.append(line);
    }
  });
}
