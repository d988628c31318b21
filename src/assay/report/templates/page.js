// Adds sorting, filters and a theme switch; every page reads the same without it.
const theme = document.getElementById("theme");
theme.hidden = false;
theme.addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme || (dark ? "dark" : "light");
  document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
});

const value = (row, column) => {
  const text = row.cells[column].textContent.trim();
  const number = parseFloat(text.replaceAll(",", ""));
  return Number.isNaN(number) ? text : number;
};

for (const head of document.querySelectorAll("table:not(.matrix) thead th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = head.closest("table").tBodies[0];
    const rows = [...body.rows].sort((one, other) => {
      const a = value(one, head.cellIndex), b = value(other, head.cellIndex);
      const order = typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1;
      return up ? order : -order;
    });
    body.append(...rows);
  });
}

// A published table: rows without a cell that has the words and the badge are hidden, other cells of a row are dimmed.
for (const form of document.querySelectorAll(".filter")) {
  form.hidden = false;
  const [words, badge] = form.elements;
  const table = form.nextElementSibling.querySelector("table");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    const wanted = words.value.trim().toLowerCase();
    for (const row of table.tBodies[0].rows) {
      const named = row.cells[0].textContent.toLowerCase().includes(wanted);
      let any = false;
      for (const cell of row.querySelectorAll("td")) {
        const text = `${table.tHead.rows[0].cells[cell.cellIndex].textContent} ${cell.textContent}`.toLowerCase();
        const fits = (named || text.includes(wanted)) && (!badge.value || cell.dataset.badge === badge.value);
        cell.style.opacity = fits ? "" : "0.35";
        any ||= fits;
      }
      row.hidden = !any;
    }
  });
}

// A link to a cell opens it.
const opened = () => document.getElementById(location.hash.slice(1))?.querySelector("details")?.setAttribute("open", "");
addEventListener("hashchange", opened);
opened();
