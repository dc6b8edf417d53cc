"use strict";
// One row at a time, keys, ratings kept in the browser, an export as CSV. Asks nobody for anything.

// A cell that no spreadsheet takes for a formula.
function cell(value) {
  const text = String(value ?? "");
  const defused = /^\s*[=+\-@\t\r\n＝＋－＠]/.test(text) ? "'" + text : text;
  return '"' + defused.replaceAll('"', '""') + '"';
}

// criteria: names of what is scored, beside the verdict.
function csv(records, criteria) {
  const columns = ["row_id", "mark", "source", "rater", "verdict", ...criteria, "note"];
  const lines = [columns, ...records.map((one) => columns.map((name) => one[name]))];
  // The mark makes spreadsheets read it as UTF-8.
  return "\ufeff" + lines.map((line) => line.map(cell).join(",") + "\r\n").join("");
}

// Whether anything is said of a row.
function rated(one) {
  return Boolean(one && Object.keys(one).some((name) => name !== "note" && one[name]));
}

// The number of the next row of which nothing is said, after `at`, around the end; -1 where there is none.
function nextOpen(ids, ratings, at) {
  for (let step = 1; step <= ids.length; step += 1) {
    const place = (at + step) % ids.length;
    if (!rated(ratings[ids[place]])) return place;
  }
  return -1;
}

function start(page) {
  const $ = (id) => page.getElementById(id);
  const cards = [...page.querySelectorAll("article")];
  const ids = cards.map((card) => card.dataset.row);
  const { draw } = page.body.dataset;
  const criteria = page.body.dataset.criteria.split(" ").filter(Boolean);
  let ratings = {};
  let at = 0;
  let asked = 0;

  function stored(key, value) {
    try {
      if (value === undefined) return localStorage.getItem(key);
      localStorage.setItem(key, value);
    } catch {
      $("lost").hidden = false;
    }
    return null;
  }

  const rater = () => $("rater").value.trim();
  const key = () => `headrace:${draw}:${rater()}`;

  function load() {
    try {
      ratings = JSON.parse(stored(key()) || "{}");
    } catch {
      ratings = {};
    }
    for (const card of cards) {
      const one = ratings[card.dataset.row] || {};
      for (const input of card.querySelectorAll("input")) input.checked = one[input.dataset.of] === input.value;
      card.querySelector("textarea").value = one.note || "";
    }
    const open = nextOpen(ids, ratings, -1);
    show(open < 0 ? 0 : open);
  }

  function keep(card) {
    const one = {};
    for (const input of card.querySelectorAll("input:checked")) one[input.dataset.of] = input.value;
    const note = card.querySelector("textarea").value;
    if (note) one.note = note;
    if (Object.keys(one).length) ratings[card.dataset.row] = one;
    else delete ratings[card.dataset.row];
    stored(key(), JSON.stringify(ratings));
    count();
  }

  function count() {
    const done = ids.filter((id) => rated(ratings[id])).length;
    $("bar").value = done;
    $("done").textContent = `Row ${at + 1} of ${ids.length}, ${done} rated`;
    cards.forEach((card, n) => card.classList.toggle("rated", rated(ratings[ids[n]])));
  }

  function show(place) {
    if (!cards.length) return;
    at = Math.min(Math.max(place, 0), cards.length - 1);
    cards.forEach((card, n) => { card.hidden = n !== at; });
    scrollTo(0, 0);
    ask(0);
    count();
  }

  function ask(n) {
    asked = Math.min(Math.max(n, 0), criteria.length - 1);
    cards[at].querySelectorAll("fieldset.score").forEach((set, k) => set.classList.toggle("now", k === asked));
  }

  function choose(name, value) {
    const card = cards[at];
    for (const input of card.querySelectorAll("input")) {
      if (input.dataset.of === name) input.checked = input.value === value && !(value === "" || input.checked);
    }
    keep(card);
  }

  function exported() {
    if (!rater()) {
      $("rater").focus();
      $("name").hidden = false;
      return;
    }
    const records = cards.flatMap((card) => {
      const one = ratings[card.dataset.row];
      const { row, mark, source } = card.dataset;
      return rated(one) ? [{ row_id: row, mark, source, rater: rater(), ...one }] : [];
    });
    const link = page.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv(records, criteria)], { type: "text/csv" }));
    link.download = `ratings-${rater().replaceAll(/[^\p{L}\p{N}]+/gu, "-")}.csv`;
    link.click();
    URL.revokeObjectURL(link.href);
  }

  const keys = {
    j: () => show(at + 1), ArrowRight: () => show(at + 1),
    k: () => show(at - 1), ArrowLeft: () => show(at - 1),
    u: () => { const open = nextOpen(ids, ratings, at); if (open >= 0) show(open); },
    n: () => cards[at].querySelector("textarea").focus(),
    e: exported,
    "?": () => { $("keys").open = !$("keys").open; },
  };
  for (const input of cards.length ? cards[0].querySelectorAll("input[data-key]") : []) {
    keys[input.dataset.key] = () => choose("verdict", input.value);
  }
  if (criteria.length) {
    keys.c = () => ask((asked + 1) % criteria.length);
    for (const score of ["1", "2", "3", "4", "5"]) {
      keys[score] = () => { choose(criteria[asked], score); ask(asked + 1); };
    }
  }

  page.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const typing = event.target.matches("textarea, input[type=text]");
    if (typing) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key.startsWith("Arrow") && event.target.matches("input[type=radio]")) return;
    if (keys[event.key] && cards.length) {
      keys[event.key]();
      event.preventDefault();
    }
  });
  page.addEventListener("input", (event) => {
    const card = event.target.closest("article");
    if (card) keep(card);
  });
  $("rater").addEventListener("change", () => {
    $("name").hidden = true;
    stored(`headrace:${draw}`, rater());
    load();
  });
  $("before").addEventListener("click", keys.k);
  $("after").addEventListener("click", keys.j);
  $("open").addEventListener("click", keys.u);
  $("export").addEventListener("click", exported);
  $("rater").value = stored(`headrace:${draw}`) || "";
  page.documentElement.classList.add("live");
  load();
}

if (typeof document === "undefined") module.exports = { cell, csv, rated, nextOpen };
else start(document);
