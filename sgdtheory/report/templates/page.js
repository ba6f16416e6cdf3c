"use strict";
// A page without this script is whole: it only makes tables sort, figures grow and values show.
addEventListener("DOMContentLoaded", () => {
  document.body.classList.add("scripted");
  document.querySelectorAll("table.sorts").forEach(sortable);
  document.querySelectorAll("table.numbers").forEach(choosable);
  document.querySelectorAll("figure").forEach(readable);
});

// Tables: a click on a heading sorts, a second one the other way round.
const RAISED = "⁻⁰¹²³⁴⁵⁶⁷⁸⁹";
const lowered = (power) => "e" + [...power].map((c) => "-0123456789"[RAISED.indexOf(c)]).join("");

function number(text) {
  const plain = text.replace(/[−]/g, "-").replace(/,/g, "")
    .replace(/ ?× ?10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)/, (whole, power) => lowered(power));
  const found = plain.match(/^\(?(-?[\d.]+)( ± [\d.]+)?\)?(e-?\d+)?( [^\d\s]+)?$/);
  return found ? Number(found[1] + (found[3] || "")) : NaN;
}

function compared(a, b) {
  const [x, y] = [number(a), number(b)];
  if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1;
  return isNaN(x) ? a.localeCompare(b, undefined, { numeric: true }) : x - y;
}

function sortable(table) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.tabIndex = 0;
    const sort = () => {
      const up = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      const text = (row) => row.cells[column].innerText.trim();
      const rows = [...table.tBodies[0].rows].sort((a, b) => compared(text(a), text(b)));
      table.tBodies[0].append(...(up ? rows : rows.reverse()));
    };
    heading.addEventListener("click", sort);
    heading.addEventListener("keydown", (key) => { if (key.key === "Enter") sort(); });
  });
}

// Which columns of a table are shown.
function show(table, column, shown) {
  for (const row of table.rows) row.cells[column].hidden = !shown;
}

function choosable(table) {
  const headings = [...table.tHead.rows[0].cells];
  if (headings.length < 5) return;
  const choice = document.createElement("details");
  choice.className = "columns";
  choice.innerHTML = "<summary>columns</summary>";
  headings.forEach((heading, column) => {
    if (!column) return;
    const label = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
    box.addEventListener("change", () => show(table, column, box.checked));
    label.append(box, heading.innerText.replace(/\s+/g, " "));
    choice.append(label);
  });
  table.closest(".wide").before(choice);
}

// Print: a table that is wider than paper follows in parts, each with the columns that name a row.
const PAPER = 820; // pixels of a table on the screen that fill the width of a printed page
const parts = [];

addEventListener("beforeprint", () => {
  for (const table of document.querySelectorAll("table.numbers")) {
    const widths = [...table.tHead.rows[0].cells].map((cell) => cell.offsetWidth);
    const keys = Number(table.dataset.keys);
    const total = (columns) => columns.reduce((sum, column) => sum + widths[column], 0);
    const all = widths.map((width, column) => column);
    if (total(all) <= PAPER) continue;
    const first = all.slice(0, keys);
    let part = [...first];
    const taken = [];
    for (let column = keys; column < widths.length; column++) {
      if (part.length > keys && total(part) + widths[column] > PAPER) {
        taken.push(part);
        part = [...first];
      }
      if (widths[column]) part.push(column);
    }
    taken.push(part);
    for (const columns of taken) table.parentNode.before(copied(table, columns));
    table.parentNode.classList.add("unprinted");
  }
});

addEventListener("afterprint", () => {
  parts.splice(0).forEach((part) => part.remove());
  document.querySelectorAll(".unprinted").forEach((wide) => wide.classList.remove("unprinted"));
});

function copied(table, columns) {
  const copy = table.cloneNode(true);
  for (const row of copy.rows) row.replaceChildren(...columns.map((column) => row.cells[column]));
  const part = document.createElement("div");
  part.className = "part";
  part.append(copy);
  parts.push(part);
  return part;
}

// Figures: one grows to the whole window, and a pointer near a mark or a line shows its values.
const tip = Object.assign(document.createElement("div"), { id: "tip", role: "status" });

function readable(figure) {
  const svg = figure.querySelector("svg");
  const grow = figure.querySelector("button.grow");
  if (!svg) return;
  grow.addEventListener("click", () => {
    const grown = figure.classList.toggle("grown");
    grow.textContent = grown ? "close" : "enlarge";
  });
  addEventListener("keydown", (key) => {
    if (key.key === "Escape" && figure.classList.contains("grown")) grow.click();
  });
  let points = null;
  svg.addEventListener("pointermove", (event) => {
    points = points || pointsOf(svg);
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const distance = (point) => Math.hypot(point.x - at.x, point.y - at.y);
    const near = points.reduce((a, b) => (distance(b) < distance(a) ? b : a), { x: 1e9, y: 1e9 });
    tip.hidden = distance(near) > 8;
    if (tip.hidden) return;
    tip.textContent = near.words;
    document.body.append(tip);
    tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + "px";
    tip.style.top = event.clientY + 16 + "px";
  });
  svg.addEventListener("pointerleave", () => tip.remove());
}

// Every mark and every corner of a line, with its values read off the axes that it lies in.
function pointsOf(svg) {
  const panels = JSON.parse(svg.dataset.panels);
  const points = [];
  for (const drawn of svg.querySelectorAll("use, path")) {
    const group = drawn.closest('[id*="line2d"], [id*="PathCollection"]');
    if (!group || drawn.closest('defs, [id*="matplotlib.axis"], [id*="legend"]')) continue;
    const places = drawn.tagName === "use"
      ? [[drawn.getAttribute("x"), drawn.getAttribute("y")]]
      : [...drawn.getAttribute("d").matchAll(/[ML] (-?[\d.]+) (-?[\d.]+)/g)].map((found) => found.slice(1));
    for (const [x, y] of places.map((place) => place.map(Number))) {
      const panel = panels.find(({ box }) => x >= box[0] - 1 && x <= box[2] + 1 && y >= box[1] - 1 && y <= box[3] + 1);
      if (panel) points.push({ x, y, words: inWords(panel, x, y) });
    }
  }
  return points;
}

function inWords({ box, x, y }, left, top) {
  const across = said(x, (left - box[0]) / (box[2] - box[0]));
  return [across, said(y, (box[3] - top) / (box[3] - box[1]))].join("\n");
}

function said(axis, share) {
  const at = axis.log
    ? axis.low * (axis.high / axis.low) ** share
    : axis.low + (axis.high - axis.low) * share;
  const name = axis.label.replace(" (log)", "") || "value";
  if (!axis.names) return `${name}: ${Number(at.toPrecision(3))}`;
  const nearest = Object.keys(axis.names).reduce((a, b) => (Math.abs(b - at) < Math.abs(a - at) ? b : a));
  return `${name}: ${axis.names[nearest]}`;
}
