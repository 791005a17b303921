"use strict";
// Two runs by the figures that are kept of their rows.
const compared = (() => {
  // The rule of edgewright compare: slower or faster beyond half the threshold, the same within all of it.
  const decide = (low, high, threshold) => {
    const least = 1 + threshold / 2;
    if (low > least) return "slower";
    if (high < 1 / least) return "faster";
    return 1 / (1 + threshold) < low && high < 1 + threshold ? "same" : "cannot tell";
  };
  // Half a 95 % interval is 1.96 standard errors, half a 99 % one 2.576; both of logarithms.
  const bounds = (a, b) => {
    const error = (one) => Math.log(one.high / one.low) / 2 / 1.96;
    const ratio = b.p50 / a.p50;
    const half = 2.576 * Math.hypot(error(a), error(b));
    return { ratio, low: ratio * Math.exp(-half), high: ratio * Math.exp(half) };
  };
  return { decide, bounds };
})();
(() => {
  const { bring, inlined, known, made, moment, percent, root, score, size, table, time } = edgewright;
  const page = inlined();
  const [first, second] = ["a", "b"].map((id) => document.getElementById(id));
  const summary = document.getElementById("summary");
  const UNFIT = ["emulated", "throttled", "undervolted", "fell back"];
  const CELL = ["workload", "recipe", "device", "runtime"];
  const ALIKE = ["unit", "scenario", "preset", "provider", "threads", "conditions"];
  const ORDER = ["slower", "missing", "cannot tell", "not compared", "faster", "new", "same", "not applicable"];

  const rowsOf = (run, all, place) => run.series.map((slug, i) => {
    const at = place.get(slug);
    const key = (name) => (at === undefined ? "" : all.texts[all[name][at]]);
    const text = (name) => run.texts[run[name][i]];
    return {
      key, cell: [...CELL.map(key), key("scenario").split(" ")[0]].join("\n"), exact: slug, state: text("state"), reason: text("reason"),
      runtimeVersion: text("runtime_version"), p50: run.p50_ns[i], low: run.p50_low_ns[i], high: run.p50_high_ns[i],
      peak: run.peak_bytes[i], quality: run.quality[i], celsius: run.start_celsius[i],
    };
  });
  const obstacles = (a, b) => [
    ...[["A", a], ["B", b]].flatMap(([side, one]) => one.p50 === null || one.low === null || UNFIT.includes(one.state)
      ? [`${side} is ${one.state}${one.reason && `: ${one.reason}`}`] : []),
    ...ALIKE.filter((name) => a.key(name) !== b.key(name) && a.p50 !== null && b.p50 !== null)
      .map((name) => `${name} differs: ${a.key(name) || "not told"} for A, ${b.key(name) || "not told"} for B`),
    ...(a.runtimeVersion !== b.runtimeVersion && a.p50 !== null && b.p50 !== null
      ? [`runtime version differs: ${a.runtimeVersion || "not told"} for A, ${b.runtimeVersion || "not told"} for B`] : []),
    ...(a.celsius !== null && b.celsius !== null && Math.abs(a.celsius - b.celsius) > 10
      ? [`start temperature differs: ${a.celsius.toFixed(0)} °C for A, ${b.celsius.toFixed(0)} °C for B`] : []),
  ];
  const judged = (a, b) => {
    if (!b) return { answer: "missing", why: "only in A", a };
    if (!a) return { answer: "new", why: "only in B", b };
    if (a.state === "skipped" && b.state === "skipped") return { answer: "not applicable", why: `neither can be: ${a.reason}`, a, b };
    const against = obstacles(a, b);
    if (against.length) return { answer: "not compared", why: against.join("; "), a, b };
    const told = compared.bounds(a, b);
    const remarks = [["A", a], ["B", b]].filter(([, one]) => one.state !== "valid").map(([side, one]) => `${side} is ${one.state}`);
    return { answer: compared.decide(told.low, told.high, page.threshold), why: remarks.join("; "), a, b, ...told };
  };
  // Rows of the same series are pairs, then rows of the same cell, in the order they have.
  const pairs = (before, after) => {
    const left = new Set(after);
    const mates = new Map();
    for (const by of ["exact", "cell"]) {
      const waiting = new Map();
      for (const row of left) waiting.set(row[by], [...(waiting.get(row[by]) ?? []), row]);
      for (const row of before) {
        const mate = mates.has(row) ? undefined : waiting.get(row[by])?.shift();
        if (mate) { mates.set(row, mate); left.delete(mate); }
      }
    }
    // What one run measured again, and the other did not, is in both.
    const paired = new Set([...mates].flat().map((row) => row.exact));
    const alone = (row) => !paired.has(row.exact);
    return [
      ...before.filter((row) => mates.has(row) || alone(row)).map((row) => judged(row, mates.get(row))),
      ...[...left].filter(alone).map((row) => judged(null, row)),
    ];
  };

  let found = [], fill;
  const show = async () => {
    const [a, b] = [first.value, second.value];
    history.replaceState(null, "", `#a=${a}&b=${b}`);
    const exact = document.getElementById("exact");
    // A server compares any two; a folder has the newest runs against the ones before.
    const there = page.exact === null ? `exact.html?a=${a}&b=${b}` : page.exact[`${a} ${b}`];
    if (exact) { exact.hidden = there === undefined; exact.href = there ?? ""; }
    summary.textContent = "reading the two runs …";
    const [before, after, all] = await Promise.all([bring(`runs/${a}`), bring(`runs/${b}`), bring("series")]);
    const place = new Map(all.slug.map((slug, i) => [slug, i]));
    found = pairs(rowsOf(before, all, place), rowsOf(after, all, place));
    found.sort((x, y) => ORDER.indexOf(x.answer) - ORDER.indexOf(y.answer) || (y.ratio ?? 0) - (x.ratio ?? 0));
    const counts = ORDER.map((answer) => [answer, found.filter((pair) => pair.answer === answer).length]);
    summary.textContent = `B against A: ${counts.filter(([, n]) => n).map(([answer, n]) => `${n} ${answer}`).join(", ") || "no rows"}.`;
    draw();
  };
  const draw = () => {
    const cells = (i) => {
      const pair = found[i];
      const one = pair.b ?? pair.a;
      const change = (name, write) => {
        const [x, y] = [pair.a?.[name] ?? null, pair.b?.[name] ?? null];
        return { text: x === y ? known(y, write) : `${known(x, write)} → ${known(y, write)}`, sort: y };
      };
      const ratio = pair.ratio ?? null;
      return [
        { text: pair.answer, badge: pair.answer },
        { text: one.key("workload"), href: `${root}series/${one.exact}.html`, head: true },
        one.key("recipe"),
        one.key("device"),
        one.key("runtime"),
        { text: time(pair.a?.p50 ?? null), sort: pair.a?.p50 ?? null },
        { text: time(pair.b?.p50 ?? null), sort: pair.b?.p50 ?? null },
        { text: known(ratio, (value) => value.toFixed(3)), sort: ratio },
        { text: ratio === null ? "—" : `${percent(pair.low)} to ${percent(pair.high)}`, sort: pair.low ?? null },
        change("peak", size),
        change("quality", score),
        pair.why,
      ];
    };
    if (fill) fill(found.length);
    else fill = table("pairs", found.length, cells);
  };

  const start = async () => {
    const { runs } = await bring("runs");
    const wanted = new URLSearchParams(location.hash.slice(1));
    const choose = (select, slug) => { if (runs.some((run) => run.slug === slug)) select.value = slug; };
    for (const select of [first, second])
      select.append(...runs.map((run) => made("option", `${run.name}, ${moment(run.started)}, ${run.rows} rows`, { value: run.slug })));
    choose(first, wanted.get("a") ?? page.newest[0]);
    choose(second, wanted.get("b") ?? page.newest[1]);
    for (const select of [first, second]) select.addEventListener("change", attempt);
    document.getElementById("swap").addEventListener("click", () => {
      [first.value, second.value] = [second.value, first.value];
      attempt();
    });
    if (runs.length) await show();
    else summary.textContent = "No run is stored yet.";
  };
  const attempt = () => show().catch((error) => { summary.textContent = error.message; });
  start().catch((error) => { summary.textContent = error.message; });
})();
