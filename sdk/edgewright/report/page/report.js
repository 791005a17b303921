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

  document.addEventListener("look", draw);

  const table = document.getElementById("rows");
  const bodies = () => [...table.tBodies];

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
})();
