"use strict";
// The tables of series, of one series' points and of a run's rows.
(() => {
  const { bring, csv, energy, inlined, known, moment, percent, root, save, score, size, table, time } = edgewright;
  const has = (id) => document.getElementById(id);
  const figure = (value, write) => ({ text: write(value), sort: value });
  const scenario = (text) => (text === "single-stream" ? "" : text);
  const failed = (error) => { document.querySelector("[id$=-found]").textContent = error.message; };

  const allSeries = async () => {
    const all = await bring("series");
    const text = (name, i) => all.texts[all[name][i]];
    const rows = all.slug.map((_, i) => i).filter((i) => all.state[i] !== null);
    const name = (i) => ["workload", "recipe", "runtime", "device"].map((part) => text(part, i)).join("\n");
    rows.sort((a, b) => (name(a) < name(b) ? -1 : 1));
    table("all-series", rows.length, (n) => {
      const i = rows[n];
      const change = all.change[i];
      return [
        { text: text("workload", i), href: `series/${all.slug[i]}.html`, head: true },
        text("recipe", i),
        text("device", i),
        { text: text("runtime", i), small: scenario(text("scenario", i)) },
        { text: text("state", i), badge: text("state", i) },
        figure(all.level[i], time),
        { text: all.level[i] === null ? "—" : `±${(100 * all.noise[i]).toFixed(1)} %`, sort: all.level[i] === null ? null : all.noise[i] },
        figure(all.changes[i], String),
        { text: known(change, percent), sort: change, small: change !== null && !all.certain[i] ? "suspect" : "" },
        figure(all.measurements[i], String),
        moment(text("last", i)),
      ];
    });
  };

  const points = (all) => {
    const text = (name, i) => all.texts[all[name][i]];
    const count = all.run.length;
    const interval = (i) => (all.p50_low_ns[i] === null ? "—" : `${time(all.p50_low_ns[i])} to ${time(all.p50_high_ns[i])}`);
    table("points", count, (n) => {
      const i = count - 1 - n;
      return [
        { text: all.run[i], href: `${root}runs/${all.run[i]}.html`, head: true },
        moment(all.started[i]),
        { text: text("state", i), badge: text("state", i), small: text("reason", i) },
        figure(all.p50_ns[i], time),
        { text: interval(i), sort: all.p50_low_ns[i] },
        figure(all.p90_ns[i], time),
        figure(all.peak_bytes[i], size),
        figure(all.energy_mj[i], energy),
        figure(all.quality[i], score),
        figure(all.start_celsius[i], (value) => known(value, (c) => `${c.toFixed(0)} °C`)),
        text("project_commit", i).slice(0, 12),
        text("runtime_version", i),
      ];
    }, 50);
    const button = has("csv");
    button.hidden = false;
    button.addEventListener("click", () => {
      const numbers = ["p50_ns", "p50_low_ns", "p50_high_ns", "p90_ns", "peak_bytes", "size_bytes", "energy_mj", "quality", "start_celsius"];
      const texts = ["run_name", "project_commit", "version", "runtime_version", "system", "sha256", "code", "reason"];
      const lines = all.run.map((run, i) => [run, all.row[i], all.started[i], text("state", i),
        ...numbers.map((name) => all[name][i]), ...texts.map((name) => text(name, i))]);
      save(`${location.pathname.split("/").pop().replace(".html", "")}.csv`,
        csv([["run", "row", "started_at", "state", ...numbers, ...texts], ...lines]));
    });
    const chart = has("chart");
    const cursor = chart.querySelector(".cursor");
    if (!cursor) return;
    let at = -1;
    const go = (to) => {
      at = Math.max(0, Math.min(count - 1, to));
      const [x, y] = all.places[at];
      cursor.setAttribute("cx", x);
      cursor.setAttribute("cy", y);
      has("reading").textContent = `${moment(all.started[at])}: ${time(all.p50_ns[at])}` +
        `${all.p50_low_ns[at] === null ? "" : ` (${interval(at)})`}, ${text("state", at)}` +
        `${text("project_commit", at) && `, commit ${text("project_commit", at).slice(0, 12)}`}, run ${all.run[at]}, row ${all.row[at]}`;
    };
    chart.addEventListener("keydown", (event) => {
      const to = { ArrowLeft: at < 0 ? count - 1 : at - 1, ArrowRight: at + 1, Home: 0, End: count - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      go(to);
    });
    const drawing = chart.querySelector("svg");
    drawing.addEventListener("mousemove", (event) => {
      const box = drawing.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * drawing.viewBox.baseVal.width;
      let best = 0;
      all.places.forEach(([px], i) => { if (Math.abs(px - x) < Math.abs(all.places[best][0] - x)) best = i; });
      go(best);
    });
  };

  const rows = async (page) => {
    const [run, all] = await Promise.all([bring(`runs/${page.run}`), bring("series")]);
    const place = new Map(all.slug.map((slug, i) => [slug, i]));
    const text = (name, i) => run.texts[run[name][i]];
    table("rows", run.series.length, (i) => {
      const series = place.get(run.series[i]);
      const key = (name) => (series === undefined ? "—" : all.texts[all[name][series]]);
      const state = text("state", i);
      const hasPage = series !== undefined && all.state[series] !== null;
      const raw = (page.samples === true || page.samples.includes(run.row[i])) && run.p50_ns[i] !== null;
      return [
        figure(run.row[i], String),
        { text: key("workload"), head: true, href: hasPage ? `${root}series/${run.series[i]}.html` : "" },
        key("recipe"),
        key("device"),
        { text: key("runtime"), small: scenario(key("scenario")) },
        { text: state, badge: state },
        figure(run.p50_ns[i], time),
        figure(run.p90_ns[i], time),
        figure(run.peak_bytes[i], size),
        figure(run.size_bytes[i], size),
        figure(run.quality[i], score),
        figure(run.energy_mj[i], energy),
        raw ? { text: "samples (CSV)", small: text("reason", i), href: `${root}samples/${page.run}/${run.row[i]}.csv`, file: `${page.run}-${run.row[i]}.csv` } : text("reason", i),
      ];
    });
  };

  if (has("all-series")) allSeries().catch(failed);
  if (has("points")) points(inlined());
  if (has("rows")) rows(inlined()).catch(failed);
})();
