"use strict";
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  // A browser that keeps nothing for a page forgets the look, and that is all.
  const kept = (look) => {
    try {
      if (look) localStorage.setItem("edgewright-look", look);
      return localStorage.getItem("edgewright-look");
    } catch { return null; }
  };
  const button = document.getElementById("theme");
  const told = () => document.dispatchEvent(new Event("look"));
  if (button?.dataset.keep !== undefined && ["light", "dark"].includes(kept())) root.dataset.theme = kept();
  dark.addEventListener("change", told);
  button?.addEventListener("click", () => {
    const now = root.dataset.theme || (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
    if (button.dataset.keep !== undefined) kept(root.dataset.theme);
    told();
  });

  // A table sorts by its headings' buttons; what has several bodies moves them whole.
  const order = (a, b) => (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
  for (const button of document.querySelectorAll("thead th[aria-sort] button:not([data-live])"))
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const table = head.closest("table");
      const rising = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.querySelectorAll("thead th[aria-sort]")) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const whole = table.tBodies.length > 1;
      const moved = whole ? [...table.tBodies] : [...table.tBodies[0].rows];
      const keyed = moved.map((item) => {
        const cell = (whole ? item.rows[0] : item).cells[head.cellIndex];
        if (button.dataset.kind === "text") return [cell.innerText.trim().toLowerCase(), item];
        return [cell.dataset.sort === "" ? null : Number(cell.dataset.sort), item];
      });
      // Rows without the figure stay last in either direction.
      keyed.sort(([a], [b]) => (a === null) - (b === null) || (a === null ? 0 : rising ? order(a, b) : order(b, a)));
      (whole ? table : table.tBodies[0]).append(...keyed.map(([, item]) => item));
    });

  const tip = document.getElementById("tip");
  if (!tip) return;
  let target = null;
  const place = () => {
    if (!target) return;
    const at = target.getBoundingClientRect();
    const above = at.top > tip.offsetHeight + 12;
    tip.style.top = `${above ? at.top - tip.offsetHeight - 8 : at.bottom + 8}px`;
    tip.style.left = `${Math.max(8, Math.min(at.left, innerWidth - tip.offsetWidth - 8))}px`;
  };
  const show = (event) => {
    const found = event.target.closest?.("[data-why]");
    if (!found || !found.dataset.why) return;
    target = found;
    tip.textContent = found.dataset.why;
    tip.hidden = false;
    place();
  };
  const hide = () => {
    target = null;
    tip.hidden = true;
  };
  document.addEventListener("mouseover", show);
  document.addEventListener("focusin", show);
  document.addEventListener("mouseout", hide);
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", place, true);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
})();
