// Live values: only numbers, words and sparklines change; nothing moves.
"use strict";
(() => {
  const KEPT = 300_000; // ms of sparkline
  const STALE = 15_000; // ms without a new value
  const rows = new Map([...document.querySelectorAll("[data-signal]")].map((row) => [row.dataset.signal, row]));
  const traces = new Map([...rows.keys()].map((name) => [name, []]));
  const page = document.querySelector("[data-live]");
  const terms = JSON.parse(document.getElementById("qualities").textContent);
  let skew = 0; // the gateway's clock minus the browser's, ms

  function digits(value) {
    if (value === null) return "–";
    const places = value === 0 ? 0 : Math.min(4, Math.max(0, 3 - Math.floor(Math.log10(Math.abs(value)))));
    return value.toFixed(Math.min(places, 3));
  }

  function showQuality(row, quality, state) {
    const element = row.querySelector(".quality");
    const [, reason] = quality.split(":");
    const word = state === "stale" ? words.stale : reason ? terms[reason] ?? reason : words.good;
    const shape = { good: "circle-check", stale: "clock", uncertain: "alert-triangle", bad: "plug-connected-x" }[state];
    for (const name of ["uncertain", "stale", "bad"]) {
      element.classList.toggle(`is-${name}`, state === name);
      row.classList.toggle(`is-${name}`, state === name);
    }
    const use = element.querySelector("use");
    const address = use.getAttribute("href").replace(/#.*/, `#${shape}`);
    if (use.getAttribute("href") !== address) use.setAttribute("href", address);
    const text = element.querySelector("span");
    if (text.textContent !== word) text.textContent = word;
  }

  function show(name, [value, quality, time]) {
    const row = rows.get(name);
    if (!row) return;
    row.querySelector("b").textContent = digits(value);
    row.dataset.time = time;
    row.dataset.quality = quality;
    showQuality(row, quality, quality.split(":")[0]);
    const trace = traces.get(name);
    if (!trace.length || time > trace[trace.length - 1][0]) trace.push([time, value]);
    while (trace.length && trace[0][0] < time - KEPT) trace.shift();
    draw(row, trace);
  }

  function draw(row, trace) {
    const known = trace.filter(([, value]) => value !== null);
    if (known.length < 2) return;
    const values = known.map(([, value]) => value);
    const low = Math.min(...values), high = Math.max(...values);
    const middle = (low + high) / 2;
    const span = Math.max(high - low, Math.abs(middle) * 0.02, 1e-6); // so that noise does not look like a fault
    const end = trace[trace.length - 1][0];
    let path = "", pen = "M";
    for (const [time, value] of trace) {
      if (value === null) { pen = "M"; continue; }
      const x = 100 - ((end - time) / KEPT) * 100;
      const y = 15 - ((value - middle) / span) * 26;
      path += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
      pen = "L";
    }
    row.querySelector(".spark path").setAttribute("d", path);
  }

  function markStale() {
    const now = Date.now() + skew;
    for (const row of rows.values()) {
      if (!row.dataset.time || !row.dataset.quality.startsWith("good")) continue;
      showQuality(row, row.dataset.quality, now - Number(row.dataset.time) > STALE ? "stale" : "good");
    }
  }

  async function fetchPast() {
    const names = [...rows.keys()];
    const now = Date.now() + skew;
    for (let i = 0; i < names.length; i += 32) {
      const asked = names.slice(i, i + 32).map((name) => `signal=${encodeURIComponent(name)}`).join("&");
      const answer = await fetch(`/api/series?${asked}&start=${now - KEPT}&end=${now}&points=100`);
      if (!answer.ok) return;
      for (const { signal, time, mean } of (await answer.json()).series) {
        const trace = traces.get(signal);
        const first = trace.length ? trace[0][0] : Infinity;
        trace.unshift(...time.map((t, n) => [t, mean[n]]).filter(([t]) => t < first));
        draw(rows.get(signal), trace);
      }
    }
  }

  const source = new EventSource("/api/live");
  let begun = false;
  source.addEventListener("message", (event) => {
    const news = JSON.parse(event.data);
    skew = news.time - Date.now();
    page.querySelector("[data-away]").hidden = news.online;
    for (const [name, sample] of Object.entries(news.signals)) show(name, sample);
    if (!begun) {
      begun = true;
      fetchPast();
    }
  });
  source.addEventListener("error", () => { page.querySelector("[data-away]").hidden = false; });
  addEventListener("pagehide", () => source.close());
  setInterval(markStale, 2000);
})();
