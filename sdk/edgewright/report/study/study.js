"use strict";
(() => {
  const rows = [...document.querySelectorAll("#attempts tbody tr")];
  const words = document.getElementById("find");
  const state = document.getElementById("state");
  const device = document.getElementById("device");
  const found = document.getElementById("found");
  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const keep =
        wanted.every((word) => text.includes(word)) &&
        (!state.value || row.dataset.state === state.value) &&
        (!device.value || row.dataset.device === device.value);
      row.hidden = !keep;
      if (keep) shown += 1;
    }
    found.textContent = `${shown} of ${rows.length} settings`;
  };
  for (const control of [words, state, device]) control.addEventListener("input", filter);
  filter();

  const body = document.querySelector("#attempts tbody");
  document.querySelectorAll("#attempts th button").forEach((button) => {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const up = head.getAttribute("aria-sort") !== "ascending";
      document.querySelectorAll("#attempts th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => row.cells[head.cellIndex].dataset.sort ?? row.cells[head.cellIndex].textContent;
      const number = (text) => (text === "" ? Infinity : Number(text));
      rows.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        const order = Number.isNaN(number(x)) ? x.localeCompare(y) : number(x) - number(y);
        return (Number.isNaN(order) ? 0 : order) * (up ? 1 : -1);
      });
      body.append(...rows);
    });
  });

  document.querySelectorAll(".dot").forEach((dot) => {
    const row = document.getElementById(dot.dataset.row);
    const mark = (on) => () => row.classList.toggle("marked", on);
    for (const [name, on] of [["mouseenter", true], ["focus", true], ["mouseleave", false], ["blur", false]])
      dot.addEventListener(name, mark(on));
    dot.addEventListener("click", () => row.scrollIntoView({ block: "center" }));
  });
})();
