"use strict";
// Takes what is new, and puts it in the place of what was there. Texts of devices come as text, never as HTML; sections
// come as the HTML that the server drew, in which they are escaped. The page's policy runs no other script than this.

const body = document.querySelector("#fleet-table tbody");
const headings = [...document.querySelectorAll("#fleet-table thead th")];
const search = document.getElementById("search");
const found = document.getElementById("found");
const trouble = document.getElementById("trouble");
const order = new Intl.Collator("en", { numeric: true });
const rows = new Map([...body.rows].map((row) => [row.cells[0].textContent, row]));
const isText = headings.map((heading) => heading.className === "text");
let sortedBy = 0;
let sign = 1;

function told(text) {
  if (trouble.textContent !== text) trouble.textContent = text;
  trouble.hidden = !text;
}

// What the reader has opened, scrolled and is at stays so.
function replace(name, html) {
  const content = document.getElementById(`${name}-content`);
  if (content === null) return;
  const open = [...content.querySelectorAll("details")].map((one) => one.open);
  const places = [...content.querySelectorAll(".scroll")].map((one) => [one.scrollLeft, one.scrollTop]);
  const reachable = () => [...content.querySelectorAll("a, summary, [tabindex]")];
  const at = reachable().indexOf(document.activeElement);
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  content.replaceChildren(fresh.content);
  content.querySelectorAll("details").forEach((one, place) => { one.open = open[place] ?? false; });
  content.querySelectorAll(".scroll").forEach((one, place) => {
    [one.scrollLeft, one.scrollTop] = places[place] ?? [0, 0];
  });
  if (at >= 0) reachable()[at]?.focus({ preventScroll: true });
}

function write(row, cells) {
  cells.forEach((text, place) => {
    if (row.cells[place].textContent !== text) row.cells[place].textContent = text;
  });
}

function added(name) {
  const row = document.createElement("tr");
  isText.forEach((text, place) => {
    const cell = document.createElement(place ? "td" : "th");
    if (place) { if (text) cell.className = "text"; } else cell.scope = "row";
    row.append(cell);
  });
  rows.set(name, row);
  body.append(row);
  return row;
}

function showRows(changed, gone) {
  for (const name of gone) {
    rows.get(name)?.remove();
    rows.delete(name);
  }
  for (const [name, cells] of Object.entries(changed)) write(rows.get(name) ?? added(name), cells);
  arrange();
}

// Empty cells come last, whatever the direction.
function compare(one, other) {
  const [a, b] = [one.cells[sortedBy].textContent, other.cells[sortedBy].textContent];
  if (!a || !b) return (a ? 0 : 1) - (b ? 0 : 1);
  return sign * order.compare(a, b) || order.compare(one.cells[0].textContent, other.cells[0].textContent);
}

function arrange() {
  const wanted = [...body.rows].sort(compare);
  if (wanted.some((row, place) => row !== body.rows[place])) body.append(...wanted);
  const text = search.value.trim().toLowerCase();
  let count = 0;
  for (const row of rows.values()) {
    row.hidden = text !== "" && ![...row.cells].some((cell) => cell.textContent.toLowerCase().includes(text));
    count += !row.hidden;
  }
  const said = text ? `${count} of ${rows.size} devices` : "";
  if (found.textContent !== said) found.textContent = said;
}

headings.forEach((heading, place) => {
  heading.querySelector("button").addEventListener("click", () => {
    sign = sortedBy === place ? -sign : 1;
    sortedBy = place;
    headings.forEach((one) => one.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    arrange();
  });
});
search.addEventListener("input", arrange);

const events = new EventSource(`/events?since=${document.body.dataset.version}`);
events.addEventListener("picture", (event) => {
  const picture = JSON.parse(event.data);
  if (picture.headline) document.getElementById("headline").textContent = picture.headline;
  for (const [name, html] of Object.entries(picture.sections ?? {})) replace(name, html);
  if (picture.rows || picture.gone) showRows(picture.rows ?? {}, picture.gone ?? []);
});
events.addEventListener("trouble", (event) => told(JSON.parse(event.data)));
events.addEventListener("open", () => told(""));
events.addEventListener("error", () => told("fedgrass dashboard does not answer: it has ended, or is being started again."));
