// Charts: minimum, mean and maximum of each pixel's span, limits with their deadband, alarm spans, gaps as gaps.
"use strict";
(() => {
  const locale = document.documentElement.lang;
  const faces = {
    second: new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }),
    minute: new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }),
    day: new Intl.DateTimeFormat(locale, { month: "short", day: "numeric" }),
  };
  const synced = uPlot.sync("charts");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const digits = (value) => value === null || value === undefined ? "–"
    : Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(4)));

  // A pause three times longer than usual is drawn as a gap, not bridged.
  function withGaps({ time, min, mean, max }) {
    const steps = time.slice(1).map((t, i) => t - time[i]).sort((a, b) => a - b);
    const usual = Math.max(steps[Math.floor(steps.length / 2)] || 0, 1);
    const columns = [[], [], [], []];
    time.forEach((t, i) => {
      if (i && t - time[i - 1] > 3 * usual) [time[i - 1] + usual, null, null, null].forEach((x, n) => columns[n].push(x));
      [t, mean[i], min[i], max[i]].forEach((x, n) => columns[n].push(x));
    });
    return columns;
  }

  function tickLabels(plot, ticks, axis, space, step) {
    let shownDay = "";
    return ticks.map((tick) => {
      const day = faces.day.format(tick);
      if (step >= 86_400_000) return day;
      const clock = (step < 60_000 ? faces.second : faces.minute).format(tick);
      const newDay = shownDay && shownDay !== day;
      shownDay = day;
      return newDay ? `${clock}\n${day}` : clock;
    });
  }

  // Everything that belongs to the y range: values, limits, and where a forecast leads.
  function valueRange(config) {
    return (plot, low, high) => {
      if (low === null) return [0, 1];
      const ahead = config.forecast ? [{ value: config.forecast.limit }] : [];
      for (const { value } of [...config.limits, ...ahead]) {
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
      const least = Math.abs(high + low) * 0.02; // so that noise does not look like a fault
      if (high - low < least) [low, high] = [(low + high - least) / 2, (low + high + least) / 2];
      const room = (high - low) * 0.1 || 1;
      return [low >= 0 && low - room < 0 ? 0 : low - room, high + room * 1.6];
    };
  }

  function drawBehind(config) {
    return (plot) => {
      const { ctx, bbox } = plot;
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      ctx.clip();
      for (const { start, end, severity } of config.spans) {
        const left = plot.valToPos(start, "x", true);
        const right = end ? plot.valToPos(end, "x", true) : bbox.left + bbox.width;
        ctx.fillStyle = colour(`--wk-${severity}-soft`);
        ctx.globalAlpha = 0.75;
        ctx.fillRect(left, bbox.top, Math.max(right - left, 2), bbox.height);
      }
      ctx.globalAlpha = 0.13;
      for (const { value, deadband, above, severity } of config.limits) {
        const from = plot.valToPos(value, "y", true);
        const to = plot.valToPos(above ? value - deadband : value + deadband, "y", true);
        ctx.fillStyle = colour(`--wk-${severity}`);
        ctx.fillRect(bbox.left, Math.min(from, to), bbox.width, Math.abs(to - from));
      }
      ctx.restore();
    };
  }

  function drawLimits(config) {
    return (plot) => {
      const { ctx, bbox } = plot;
      const scale = devicePixelRatio;
      ctx.save();
      ctx.font = `600 ${12 * scale}px ${getComputedStyle(document.body).fontFamily}`;
      ctx.textBaseline = "middle";
      for (const { value, severity, label } of config.limits) {
        const y = plot.valToPos(value, "y", true);
        if (y < bbox.top - 1 || y > bbox.top + bbox.height + 1) continue;
        ctx.strokeStyle = ctx.fillStyle = colour(`--wk-${severity}`);
        ctx.lineWidth = 1.5 * scale;
        ctx.setLineDash([6 * scale, 4 * scale]);
        ctx.beginPath();
        ctx.moveTo(bbox.left, y);
        ctx.lineTo(bbox.left + bbox.width, y);
        ctx.stroke();
        const width = ctx.measureText(label).width + 10 * scale;
        const height = 18 * scale;
        const top = Math.max(y - height - 2 * scale, bbox.top);
        ctx.fillStyle = colour("--wk-surface");
        ctx.beginPath();
        ctx.roundRect(bbox.left + 4 * scale, top, width, height, 4 * scale);
        ctx.fill();
        ctx.fillStyle = colour(`--wk-${severity}`);
        ctx.textAlign = "left";
        ctx.fillText(label, bbox.left + 9 * scale, top + height / 2);
      }
      ctx.fillStyle = colour("--wk-2");
      for (const time of config.doubtful) ctx.fillRect(plot.valToPos(time, "x", true) - scale, bbox.top + bbox.height - 4 * scale, 3 * scale, 4 * scale);
      for (const { time, word } of config.marks ?? []) {
        const x = plot.valToPos(time, "x", true);
        if (x < bbox.left - 1 || x > bbox.left + bbox.width + 1) continue;
        ctx.strokeStyle = ctx.fillStyle = colour("--wk-quiet");
        ctx.setLineDash([]);
        ctx.lineWidth = scale;
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
        const toLeft = x + 60 * scale > bbox.left + bbox.width;
        ctx.textAlign = toLeft ? "right" : "left";
        ctx.fillText(word, x + (toLeft ? -5 : 5) * scale, bbox.top + bbox.height - 10 * scale);
      }
      ctx.restore();
    };
  }

  // From the last value to the limit: when it gets there as things go, and the earliest and latest.
  function drawForecast(config) {
    return (plot) => {
      const { ctx, bbox } = plot, [times, means] = plot.data, told = config.forecast;
      const last = means.findLastIndex((mean) => mean !== null);
      if (!told || last < 0) return;
      const scale = devicePixelRatio;
      const x = plot.valToPos(times[last], "x", true), y = plot.valToPos(means[last], "y", true);
      const goal = plot.valToPos(told.limit, "y", true);
      const at = (left) => plot.valToPos(told.time + left, "x", true);
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      ctx.clip();
      ctx.fillStyle = ctx.strokeStyle = colour("--wk-line");
      ctx.globalAlpha = 0.16;
      ctx.beginPath();
      for (const [px, py] of [[x, y], [at(told.low), goal], [at(told.high), goal]]) ctx.lineTo(px, py);
      ctx.fill();
      ctx.globalAlpha = 1;
      ctx.lineWidth = 1.6 * scale;
      ctx.setLineDash([3 * scale, 3 * scale]);
      ctx.beginPath();
      ctx.moveTo(x, y);
      ctx.lineTo(at(told.left), goal);
      ctx.stroke();
      const hours = (left) => digits(Number((left / 3_600_000).toPrecision(2)));
      ctx.font = `600 ${12 * scale}px ${getComputedStyle(document.body).fontFamily}`;
      ctx.textAlign = "right";
      ctx.fillText(`${hours(told.left)} h (${hours(told.low)} – ${hours(told.high)} h)`, bbox.left + bbox.width - 6 * scale, bbox.top + bbox.height - 12 * scale);
      ctx.restore();
    };
  }

  class Chart {
    constructor(figure) {
      this.figure = figure;
      this.place = figure.querySelector(".plot-plot");
      this.reading = figure.querySelector(".plot-reading");
      this.config = JSON.parse(figure.querySelector("script").textContent);
      this.own = Boolean(this.config.series); // evidence: shown as it was kept
      this.take(this.config.series ?? { time: [], min: [], mean: [], max: [] });
      this.zoom = null;
      this.build();
      for (const button of figure.parentElement.querySelectorAll("[data-show]")) button.addEventListener("click", () => this.until(button));
      figure.addEventListener("keydown", (event) => this.key(event));
      new ResizeObserver(() => this.fit()).observe(this.place);
      document.addEventListener("theme", () => this.build());
      if (!this.own) this.follow();
    }

    take(series) {
      this.data = withGaps(series);
      const doubtful = (series.quality ?? []).map((quality, i) => quality ? series.time[i] : null);
      this.config.doubtful = doubtful.filter((time) => time !== null);
      this.config.forecast = series.forecast ?? null;
    }

    // What was seen when the alarm was raised, or that and all since.
    until(button) {
      for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
      this.own = button.dataset.show === "evidence";
      this.zoom = null;
      if (this.own) {
        this.take(this.config.series);
        this.plot.setData(this.data);
      } else {
        this.fetch();
      }
    }

    build() {
      this.plot?.destroy();
      this.plot = new uPlot(this.options(), this.data, this.place);
      this.place.dataset.points = this.data[0].length;
    }

    options() {
      const ink = colour("--wk-line");
      const axis = { stroke: colour("--wk-quiet"), font: `12px ${getComputedStyle(document.body).fontFamily}`,
        grid: { stroke: colour("--wk-grid"), width: 1 }, ticks: { show: false } };
      return {
        width: this.place.clientWidth, height: this.place.clientHeight, ms: 1, padding: [8, 20, 0, 0],
        cursor: { sync: { key: synced.key }, drag: { x: true, y: false }, points: { size: 7, fill: ink }, focus: { prox: -1 } },
        legend: { show: false },
        scales: { x: { range: (plot, low, high) => this.window(low, high) }, y: { range: valueRange(this.config) } },
        axes: [{ ...axis, values: tickLabels, space: 64, size: 30 }, { ...axis, size: 52, space: 34, values: (plot, ticks) => ticks.map(digits) }],
        series: [{}, { stroke: ink, width: 1.6, spanGaps: false, points: { show: false } },
          { stroke: "transparent", points: { show: false } }, { stroke: "transparent", points: { show: false } }],
        bands: [{ series: [3, 2], fill: `color-mix(in srgb, ${ink} 22%, transparent)` }],
        hooks: {
          drawAxes: [drawBehind(this.config)], draw: [drawLimits(this.config), drawForecast(this.config)],
          setCursor: [() => this.read()],
          setSelect: [(plot) => this.select(plot)],
        },
      };
    }

    window(low, high) {
      if (this.zoom) return this.zoom;
      if (this.config.series && !this.own) return [this.config.series.time[0], Date.now()];
      if (this.config.range) {
        const now = Date.now();
        return [now - this.config.range, now + (this.config.forecast ? Math.min(this.config.range / 2, 1.1 * this.config.forecast.high) : 0)];
      }
      return [low, high];
    }

    select(plot) {
      if (plot.select.width < 8) return;
      const from = plot.posToVal(plot.select.left, "x");
      const to = plot.posToVal(plot.select.left + plot.select.width, "x");
      plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      this.show([from, to]);
    }

    // A new window; what can be fetched is fetched again in its full detail.
    show(zoom) {
      this.zoom = zoom;
      const [low, high] = this.window(this.data[0][0], this.data[0].at(-1));
      this.plot.setScale("x", { min: low, max: high });
      if (!this.own) this.fetch();
    }

    key(event) {
      const { min, max } = this.plot.scales.x;
      const middle = this.plot.cursor.left >= 0 ? this.plot.posToVal(this.plot.cursor.left, "x") : (min + max) / 2;
      const span = max - min;
      const moves = {
        "+": () => this.show([middle - span / 4, middle + span / 4]), "=": () => moves["+"](),
        "-": () => this.show([middle - span, middle + span]),
        ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1),
        Escape: () => this.show(null), 0: () => this.show(null),
      };
      if (!moves[event.key]) return;
      event.preventDefault();
      moves[event.key]();
    }

    step(by) {
      const at = Math.min(Math.max((this.plot.cursor.idx ?? this.data[0].length - 1) + by, 0), this.data[0].length - 1);
      this.plot.setCursor({ left: this.plot.valToPos(this.data[0][at], "x"), top: this.plot.height / 3 });
    }

    read() {
      const at = this.plot.cursor.idx ?? this.data[0].length - 1;
      const [time, mean, low, high] = this.data.map((column) => column[at]);
      if (time === undefined || mean === null) { this.reading.textContent = "–"; return; }
      const spread = digits(low) !== digits(high) ? ` (${digits(low)} – ${digits(high)})` : "";
      this.reading.textContent = `${digits(mean)}${spread} ${this.config.unit}`.trim() + words.comma + faces.second.format(time);
    }

    async fetch() {
      const [low, high] = this.window(null, null);
      const start = Math.floor(low), end = Math.ceil(high);
      const points = Math.max(50, Math.round(this.place.clientWidth));
      const query = `signal=${encodeURIComponent(this.config.signal)}&start=${start}&end=${end}&points=${points}`;
      const csv = this.figure.parentElement.querySelector("[data-csv]");
      csv.href = `/api/series.csv?${query}`;
      const answer = await fetch(`/api/series?${query}`).catch(() => null);
      if (!answer?.ok) { this.say("no_data"); return; }
      this.take((await answer.json()).series[0]);
      this.say(this.data[0].length ? "" : "no_data");
      this.plot.setData(this.data);
      this.place.dataset.points = this.data[0].length;
      this.read();
    }

    say(key) {
      let note = this.place.querySelector(".plot-note");
      if (!note) {
        note = Object.assign(document.createElement("div"), { className: "plot-note" });
        this.place.append(note);
      }
      note.textContent = key ? words[key] : "";
    }

    // While nobody looks closer, the window moves on with time.
    follow() {
      this.fetch();
      const pause = Math.max(5_000, this.config.range / 400);
      setInterval(() => { if (!document.hidden && !this.zoom && !this.place.matches(":hover")) this.fetch(); }, pause);
      this.place.addEventListener("dblclick", () => this.show(null));
    }

    fit() {
      const { clientWidth: width, clientHeight: height } = this.place;
      if (width && (width !== this.plot.width || height !== this.plot.height)) this.plot.setSize({ width, height });
    }
  }

  for (const figure of document.querySelectorAll("[data-chart]")) new Chart(figure);
})();
