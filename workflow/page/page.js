"use strict";
const data = JSON.parse(document.getElementById("rows").textContent);
const rows = data.rows.map((values) => Object.fromEntries(values.map((value, at) => [data.columns[at], value])));
const form = document.querySelector(".filters");
const selects = [...form.querySelectorAll("select")];
const list = document.getElementById("list");
const found = document.getElementById("found");
const more = document.getElementById("more");
const PAGE = 20;
let limit = PAGE;

const make = (name, className, ...children) => {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
};

const partOf = ([words, sign]) => {
  if (!sign) return make("span", "", words);
  return make("span", sign.startsWith("✓") ? "step" : "step off", words, make("b", "", sign));
};

const cardOf = (row) => {
  const card = make("article", "generation");
  for (const { name } of selects) card.dataset[name] = row[name];
  const right = row.outcome === "right";
  const verdict = make("span", `verdict ${row.outcome}`, right ? "✓ reward 1" : "✗ reward 0");
  const link = make("a", "", row.artifact);
  link.href = `#${row.artifact}`;
  card.append(
    make("p", "soft", verdict, ` · ${row.model} · ${row.type}, ${row.steps} steps · ${row.strategy}`),
    make("p", "trace", row.prompt),
    make("p", "trace", ...row.parts.map(partOf)),
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

// What is shown has an address: #generations?model=…&type=inversion. Cells of Table 1 and claims link so.
const addressFilters = () => {
  const wanted = selects.filter((select) => select.value).map((select) => [select.name, select.value]);
  history.replaceState(null, "", `#generations${wanted.length ? "?" : ""}${new URLSearchParams(wanted)}`);
  limit = PAGE;
  show();
};
const applyFilters = (query) => {
  const wanted = new URLSearchParams(query);
  for (const select of selects) select.value = wanted.get(select.name) ?? "";
  limit = PAGE;
  show();
};
form.addEventListener("change", addressFilters);
document.getElementById("clear").addEventListener("click", () => { form.reset(); addressFilters(); });
more.addEventListener("click", () => {
  const first = limit;
  limit += PAGE;
  show();
  // The button moves down or goes: keyboards go on at the first of the new ones.
  list.children[first].querySelector("a").focus();
});

// A link into a closed part opens it; one to generations filters them.
const open = () => {
  const [name, query] = location.hash.slice(1).split("?");
  const target = document.getElementById(decodeURIComponent(name));
  if (!target) return;
  if (query !== undefined) applyFilters(query);
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
