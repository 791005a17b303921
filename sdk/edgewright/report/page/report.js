"use strict";
(() => {
  const root = document.documentElement;
  const figures = JSON.parse(document.getElementById("figures").textContent);

  // Colours are names of CSS variables, "var(--c1)" or "var(--c1)/0.3": the current look gives their value.
  const style = () => getComputedStyle(root);
  const paint = (value, look) => {
    const match = /^var\((--[\w-]+)\)(?:\/([\d.]+))?$/.exec(value);
    if (!match) return value;
    const colour = look.getPropertyValue(match[1]).trim();
    if (!match[2] || !/^#[0-9a-f]{6}$/i.test(colour)) return colour;
    const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
    return `rgba(${r},${g},${b},${match[2]})`;
  };
  const resolve = (value, look, key) => {
    if (Array.isArray(value)) return value.map((item) => resolve(item, look, key));
    if (value && typeof value === "object")
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolve(v, look, k)]));
    return typeof value === "string" && /color$|^family$/.test(key) ? paint(value, look) : value;
  };
  const draw = () => {
    const look = style();
    for (const [id, figure] of Object.entries(figures)) {
      const { data, layout } = resolve(figure, look, "");
      Plotly.react(id, data, layout, { displayModeBar: false, responsive: true });
    }
  };
  if (Object.keys(figures).length) draw();

  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", draw);
  document.getElementById("theme").addEventListener("click", () => {
    const now = root.dataset.theme || (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
    draw();
  });

  const table = document.getElementById("rows");
  const bodies = () => [...table.tBodies];
  const key = (body, column, kind) => {
    const cell = body.rows[0].cells[column];
    if (kind === "text") return cell.innerText.trim().toLowerCase();
    return cell.dataset.sort === "" ? null : Number(cell.dataset.sort);
  };
  const order = (a, b) => (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
  for (const button of table.querySelectorAll("thead button"))
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const rising = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.querySelectorAll("thead th[aria-sort]")) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const keyed = bodies().map((body) => [key(body, head.cellIndex, button.dataset.kind), body]);
      // Rows without the figure stay last in either direction.
      keyed.sort(([a], [b]) => (a === null) - (b === null) || (a === null ? 0 : rising ? order(a, b) : order(b, a)));
      table.append(...keyed.map(([, body]) => body));
    });

  for (const button of table.querySelectorAll(".open"))
    button.addEventListener("click", () => {
      const details = document.getElementById(button.getAttribute("aria-controls"));
      details.hidden = !details.hidden;
      button.setAttribute("aria-expanded", String(!details.hidden));
    });

  const found = document.getElementById("found");
  document.getElementById("find").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const body of bodies()) {
      const text = body.rows[0].innerText.toLowerCase();
      body.hidden = !words.every((word) => text.includes(word));
      shown += body.hidden ? 0 : 1;
    }
    found.textContent = words.length ? `${shown} of ${bodies().length} rows` : "";
  });

  const tip = document.getElementById("tip");
  let told = null;
  const place = () => {
    if (!told) return;
    const at = told.getBoundingClientRect();
    const above = at.top > tip.offsetHeight + 12;
    tip.style.top = `${above ? at.top - tip.offsetHeight - 8 : at.bottom + 8}px`;
    tip.style.left = `${Math.max(8, Math.min(at.left, innerWidth - tip.offsetWidth - 8))}px`;
  };
  const show = (event) => {
    const target = event.target.closest?.("[data-why]");
    if (!target || !target.dataset.why) return;
    told = target;
    tip.textContent = target.dataset.why;
    tip.hidden = false;
    place();
  };
  const hide = () => {
    told = null;
    tip.hidden = true;
  };
  document.addEventListener("mouseover", show);
  document.addEventListener("focusin", show);
  document.addEventListener("mouseout", hide);
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", place, true);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
})();
