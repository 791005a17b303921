"use strict";
// What the pages' own scripts use. Texts become text nodes and attributes, never markup.
const edgewright = (() => {
  const DASH = "—";
  const here = document.currentScript;
  const root = here.src.replace(/assets\/site\.js$/, "");

  // A page on a disk cannot fetch: data comes as scripts that hand it over by its name.
  const waiting = new Map();
  const arrived = (name, value) => waiting.get(name)?.resolve(value);
  const bring = (name) => {
    if (!waiting.has(name)) {
      const entry = {};
      entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
      waiting.set(name, entry);
      const script = document.createElement("script");
      script.src = `${root}data/${name}.js`;
      script.onerror = () => { waiting.delete(name); entry.reject(new Error(`${name} is not part of this site`)); };
      document.body.append(script);
    }
    return waiting.get(name).promise;
  };
  const inlined = () => JSON.parse(document.getElementById("data").textContent);

  const made = (tag, text, attributes = {}) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };

  // Figures as everywhere: three digits and the unit that reads best.
  const significant = (value, digits = 3) => {
    if (value === 0 || !Number.isFinite(value)) return String(value);
    const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value))));
    return Number(value.toPrecision(digits)).toLocaleString("en-US", {
      minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  };
  const milliseconds = (ms) => Math.abs(ms) < 1e-3 ? `${significant(ms * 1e6)} ns` : Math.abs(ms) < 1
    ? `${significant(ms * 1e3)} µs` : Math.abs(ms) < 1e4 ? `${significant(ms)} ms` : `${significant(ms / 1e3)} s`;
  const unless = (missing) => (value, write) => (value === missing || value === undefined ? DASH : write(value));
  const known = unless(null);
  const time = (ns) => known(ns, (value) => milliseconds(value / 1e6));
  const size = (bytes) => known(bytes, (value) => {
    for (const [unit, factor] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]])
      if (value >= factor) return `${significant(value / factor)} ${unit}`;
    return `${value} B`;
  });
  const energy = (mj) => known(mj, (value) =>
    value < 1 ? `${significant(value * 1e3)} µJ` : value < 1e4 ? `${significant(value)} mJ` : `${significant(value / 1e3)} J`);
  const score = (value) => known(value, (v) => (Math.abs(v) <= 1 ? v.toFixed(4) : significant(v, 4)));
  const percent = (ratio) => `${ratio >= 1 ? "+" : "-"}${Math.abs(100 * (ratio - 1)).toFixed(1)}%`;
  const moment = (iso) => /^\d{4}-\d\d-\d\dT.*\+00:00$/.test(iso) ? `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC` : iso;

  const GOOD = ["valid", "faster", "same", "finished"];
  const BAD = ["failed", "slower", "missing", "throttled", "undervolted", "fell back"];
  const IDLE = ["skipped", "emulated", "not applicable"];
  const look = (state) => GOOD.includes(state) ? "good" : BAD.includes(state) ? "bad" : IDLE.includes(state) ? "idle" : "warn";

  // A cell is a text, or {text, sort, href, badge, small, head, file}; figures have a sort, null for none.
  const filled = (cell, kind) => {
    const it = typeof cell === "object" ? cell : { text: cell };
    const element = it.head ? made("th", undefined, { scope: "row" }) : made("td");
    if (kind === "number") element.className = "number";
    let inner = element;
    if (it.href) {
      inner = made("a", undefined, { href: it.href });
      if (it.file) inner.setAttribute("download", it.file);
      element.append(inner);
    }
    if (it.badge) inner.append(made("span", it.text, { class: `badge ${look(it.badge)}` }));
    else inner.append(it.text);
    if (it.small) element.append(" ", made("small", it.small));
    return element;
  };
  const words = (cell) => (typeof cell === "object" ? `${cell.text} ${cell.small ?? ""}` : String(cell));

  // Returns what fills it anew, with another count of rows.
  const table = (id, count, cells, page = 100) => {
    const element = document.getElementById(id);
    const more = document.getElementById(`${id}-more`);
    const said = document.getElementById(`${id}-found`);
    const buttons = [...element.tHead.querySelectorAll("button")];
    const kinds = buttons.map((button) => button.dataset.kind);
    let rows = [];
    const texts = new Map();
    const text = (i) => {
      if (!texts.has(i)) texts.set(i, cells(i).map(words).join(" ").toLowerCase());
      return texts.get(i);
    };
    let order = [], found = [], shown = 0;
    const append = (upto) => {
      const added = document.createDocumentFragment();
      for (; shown < Math.min(upto, found.length); shown++) {
        const row = made("tr");
        row.append(...cells(found[shown]).map((cell, column) => filled(cell, kinds[column])));
        added.append(row);
      }
      element.tBodies[0].append(added);
      const left = found.length - shown;
      more.hidden = left === 0;
      more.textContent = `Show ${Math.min(left, page)} more of ${left}`;
    };
    const again = () => {
      element.tBodies[0].replaceChildren();
      shown = 0;
      append(page);
    };
    const filter = () => {
      const wanted = document.getElementById(`${id}-find`).value.toLowerCase().split(/\s+/).filter(Boolean);
      found = wanted.length ? order.filter((i) => wanted.every((word) => text(i).includes(word))) : order;
      said.textContent = wanted.length ? `${found.length} of ${count}` : `${count} in all`;
      again();
    };
    buttons.forEach((button, column) =>
      button.addEventListener("click", () => {
        const head = button.closest("th");
        const rising = head.getAttribute("aria-sort") !== "ascending";
        for (const other of element.tHead.querySelectorAll("th")) other.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", rising ? "ascending" : "descending");
        const key = (i) => {
          const cell = cells(i)[column];
          return kinds[column] === "number" ? cell.sort ?? null : words(cell).toLowerCase();
        };
        const keyed = rows.map((i) => [key(i), i]);
        const compare = kinds[column] === "number" ? (a, b) => a - b : (a, b) => (a < b ? -1 : a > b ? 1 : 0);
        // Rows without the figure stay last in either direction.
        keyed.sort(([a, i], [b, j]) => (a === null) - (b === null) ||
          (a === null ? i - j : rising ? compare(a, b) : compare(b, a)) || i - j);
        order = keyed.map(([, i]) => i);
        filter();
      }));
    more.addEventListener("click", () => append(shown + page));
    document.getElementById(`${id}-find`).addEventListener("input", filter);
    const fill = (total) => {
      count = total;
      texts.clear();
      order = rows = Array.from({ length: total }, (_, i) => i);
      for (const head of element.tHead.querySelectorAll("th")) head.setAttribute("aria-sort", "none");
      filter();
    };
    fill(count);
    return fill;
  };

  // A spreadsheet takes a text that begins so for a formula; an apostrophe in front makes it text again.
  const csvCell = (value) => {
    let text = value === null || value === undefined ? "" : String(value);
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const csv = (lines) => lines.map((line) => `${line.map(csvCell).join(",")}\n`).join("");
  const save = (name, text) => {
    const address = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
    made("a", "", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
  };

  // Served live, a page says when there are newer rows; it never changes under the reader's hands.
  if (here.dataset.live) {
    const newer = document.getElementById("newer");
    const ask = async () => {
      if (document.hidden) return;
      let told;
      try {
        const answer = await fetch(`${root}newest`, { cache: "no-store" });
        if (!answer.ok) throw new Error(answer.statusText);
        told = await answer.json();
      } catch { newer.textContent = "the server does not answer"; return; }
      newer.textContent = told.is_newer ? "newer rows are in: " : "up to date";
      if (told.is_newer) newer.append(made("a", "show them", { href: location.href.split("#")[0] }));
    };
    setInterval(ask, 15000);
    ask();
  }
  return { arrived, bring, csv, energy, inlined, known, made, milliseconds, moment, percent, root, save, score, size, table, time };
})();
