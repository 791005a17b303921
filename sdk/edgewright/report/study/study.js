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

  document.querySelectorAll(".dot").forEach((dot) => {
    const row = document.getElementById(dot.dataset.row);
    const mark = (on) => () => row.classList.toggle("marked", on);
    for (const [name, on] of [["mouseenter", true], ["focus", true], ["mouseleave", false], ["blur", false]])
      dot.addEventListener(name, mark(on));
    dot.addEventListener("click", () => row.scrollIntoView({ block: "center" }));
  });
})();
