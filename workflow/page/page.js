"use strict";
const data = JSON.parse(document.getElementById("rows").textContent);
const rows = data.rows.map((values) => Object.fromEntries(values.map((value, at) => [data.columns[at], value])));
const form = document.querySelector(".filters");
const selects = [...form.querySelectorAll("select")];
const list = document.getElementById("list");
const found = document.getElementById("found");
const more = document.getElementById("more");
const PAGE = 20;
const MARKS = { r: ["", "✓", 3], o: ["", "✓", 4], v: ["off", "✗ result", 3], s: ["off", "✗ step", 3] };
let limit = PAGE;

const make = (name, className, ...children) => {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
};

const traceOf = (row) => {
  const words = row.response.split(/\s+/);
  const line = make("p", "trace");
  if (row.head) line.append(make("span", "", words.slice(0, row.head).join(" ")));
  let at = row.head;
  for (const mark of row.marks) {
    const [off, sign, width] = MARKS[mark];
    line.append(make("span", `step ${off}`, words.slice(at, at + width).join(" "), make("b", "", sign)));
    at += width;
  }
  line.append(make("span", "", words.slice(at).join(" ")));
  return line;
};

const cardOf = (row) => {
  const card = make("article", "generation");
  for (const name of ["model", "type", "steps", "strategy", "outcome"]) card.dataset[name] = row[name];
  const right = row.outcome === "right";
  const verdict = make("span", `verdict ${row.outcome}`, right ? "✓ reward 1" : "✗ reward 0");
  const link = make("a", "", row.artifact);
  link.href = `#${row.artifact}`;
  card.append(
    make("p", "soft", verdict, ` · ${row.model} · ${row.type}, ${row.steps} steps · ${row.strategy}`),
    make("p", "trace", row.prompt),
    traceOf(row),
    make("p", "soft", `${right ? "" : `right answer: ${row.answer} · `}first error: ${row.error} · ${row.where} in `, link),
  );
  return card;
};

const show = () => {
  const wanted = selects.filter((select) => select.value);
  const matching = rows.filter((row) => wanted.every((select) => String(row[select.name]) === select.value));
  list.replaceChildren(...matching.slice(0, limit).map(cardOf));
  found.textContent = matching.length ? `${Math.min(limit, matching.length)} of ${matching.length} shown` : "None is like this.";
  more.hidden = matching.length <= limit;
};

for (const select of selects) {
  const values = [...new Set(rows.map((row) => row[select.name]))];
  if (select.name !== "model") values.sort((a, b) => (typeof a === "number" ? a - b : a.localeCompare(b)));
  select.append(...values.map((value) => new Option(value)));
}
form.addEventListener("change", () => { limit = PAGE; show(); });
document.getElementById("clear").addEventListener("click", () => { form.reset(); limit = PAGE; show(); });
more.addEventListener("click", () => {
  const first = limit;
  limit += PAGE;
  show();
  // The button moves down or goes: keyboards go on at the first of the new ones.
  list.children[first].querySelector("a").focus();
});

// A link into a closed part opens it.
const open = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
  target.scrollIntoView();
};
addEventListener("hashchange", open);
document.addEventListener("click", (event) => {
  // The same link twice changes no hash.
  const link = event.target.closest("a[href^='#']");
  if (link && link.hash === location.hash) open();
});
show();
open();
