// Parts of the page that watches trainings: texts, colours, series and charts. Texts that come from files
// go in as text nodes, never as HTML.

const WATCH_COLOURS = 8;
const WATCH_MOST_ROWS = 12;
const WATCH_RUNNING = 30; // seconds since the last row

// ---------------------------------------------------------------------------------- texts and elements

const watchEmpty = (text) => seeElement("p", { class: "see-watch-empty" }, text);

const watchQuiet = (text) => seeElement("p", { class: "see-watch-quiet" }, text);

function watchSay(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function watchNumber(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2).replace("-", "−");
  if (Number.isInteger(value)) return value.toLocaleString("en").replace("-", "−");
  return String(Number(value.toPrecision(4))).replace("-", "−");
}

// As short as an axis needs it: 12k, 1.5M, 0.02, 1e−5.
function watchTick(value) {
  if (value === null || value === undefined) return "";
  const size = Math.abs(value);
  let text;
  if (size >= 1e9 || (size !== 0 && size < 1e-3)) text = value.toExponential().replace("e+", "e");
  else if (size >= 1e6) text = `${Number((value / 1e6).toPrecision(4))}M`;
  else if (size >= 1e4) text = `${Number((value / 1e3).toPrecision(4))}k`;
  else text = String(Number(value.toPrecision(6)));
  return text.replaceAll("-", "−");
}

function watchAgo(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

function watchState(run) {
  const step = run.head?.step ? `, step ${watchNumber(run.head.step)}` : "";
  if (run.finished) return `finished${step}`;
  if (run.age < WATCH_RUNNING) return `running${step}`;
  return `last seen ${watchAgo(run.age)}${step}`;
}

// A first tick of one digit, as uPlot counts on from it.
function watchLogFloor(value) {
  const decade = 10 ** Math.floor(Math.log10(value));
  return Math.max(Number.MIN_VALUE, Number((Math.floor(value / decade) * decade).toPrecision(1)));
}

const watchTitle = (name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");

function watchBytes(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

// ---------------------------------------------------------------------------------------------- colours

// The colours of the theme, each looked up once until it changes.
class WatchColours {
  constructor(root) {
    this.root = root;
    this.pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    this.forget();
  }

  forget() {
    this.known = new Map();
  }

  css(name) {
    if (!this.known.has(name)) this.known.set(name, seeColor(this.root, `--see-${name}`));
    return this.known.get(name);
  }

  rgb(name) {
    this.pixel.clearRect(0, 0, 1, 1);
    this.pixel.fillStyle = this.css(name);
    this.pixel.fillRect(0, 0, 1, 1);
    return this.pixel.getImageData(0, 0, 1, 1).data;
  }
}

const watchSeriesName = (slot) => `series-${(slot % WATCH_COLOURS) + 1}`;

// Beyond the colours that there are, lines of another dash.
const watchDash = (slot) => [null, [8, 3], [2, 3], [8, 3, 2, 3]][Math.floor(slot / WATCH_COLOURS) % 4];

function watchSwatch(slot) {
  const swatch = seeElement("span", { class: "see-watch-swatch", "aria-hidden": "true" });
  if (slot !== null && slot !== undefined) {
    swatch.style.borderTopColor = `var(--see-${watchSeriesName(slot)})`;
    swatch.style.borderTopStyle = watchDash(slot) ? "dashed" : "solid";
  }
  return swatch;
}

// ------------------------------------------------------------------------------------------------ series

// News take the place of the points from `from` on.
function watchMerge(old, news) {
  const { x = [], y = [], at = [], mean = [] } = old ?? {};
  const kept = (places, values) => {
    let end = places.length;
    while (end > 0 && places[end - 1] >= news.from) end -= 1;
    return [places.slice(0, end), values.slice(0, end)];
  };
  const [oldX, oldY] = kept(x, y);
  const [oldAt, oldMean] = kept(at, mean);
  return {
    x: oldX.concat(news.x),
    y: oldY.concat(news.y),
    at: oldAt.concat(news.at ?? []),
    mean: oldMean.concat(news.mean ?? []),
  };
}

function watchMergeAll(series, news) {
  for (const [name, fresh] of Object.entries(news)) series.set(name, watchMerge(series.get(name), fresh));
}

function watchMergeColumns(old, news) {
  return (old ?? []).filter(([step]) => step < news.from).concat(news.columns);
}

// A running mean that starts at the first number, not at 0.
function watchSmooth(values, weight) {
  let sum = 0;
  let total = 0;
  return values.map((value) => {
    if (value === null) return null;
    sum = weight * sum + (1 - weight) * value;
    total = weight * total + (1 - weight);
    return sum / total;
  });
}

const watchLast = (series) => (series?.y.length ? series.y[series.y.length - 1] : undefined);

// ------------------------------------------------------------------------------------------------ charts

// A card with a heading, a chart by uPlot, and a table of the last values, or of those under the cursor.
// A curve is { row, column, slot, x, y, dash, pale, last }: the table has a row for each `row`.
class WatchChart {
  constructor(colours, { title, place, log = false, wide = false, empty }) {
    Object.assign(this, { colours, title, place, log, emptyText: empty });
    this.curves = [];
    this.marks = [];
    this.key = null;
    this.plot = null;
    this.zoomed = false;
    this.tools = seeElement("div", { class: "see-watch-tools" });
    this.whole = seeElement("button", { type: "button", hidden: true, onclick: () => this.showAll() }, "Show all");
    this.tools.append(this.whole);
    this.host = seeElement("div", {
      class: "see-watch-chart",
      tabindex: "0",
      role: "group",
      "aria-label": `${title}: chart. Arrow keys read the values, plus and minus zoom, Escape shows all.`,
      onkeydown: (event) => this.onKey(event),
      onblur: () => this.plot?.setCursor({ left: -10, top: -10 }),
    });
    this.empty = watchEmpty(empty);
    this.table = seeElement("table", { class: "see-watch-values", "aria-label": `${title}: values` });
    this.notes = seeElement("div", { class: "see-watch-notes" });
    const head = seeElement("div", { class: "see-watch-card-head" }, seeElement("h3", {}, title), this.tools);
    this.element = seeElement("section", { class: wide ? "see-watch-card see-watch-wide" : "see-watch-card" });
    this.element.append(head, this.empty, this.host, this.notes, this.table);
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(this.host);
    this.show(false);
  }

  show(filled) {
    this.tools.hidden = !filled;
    this.empty.hidden = filled;
    this.host.hidden = !filled;
    this.table.hidden = !filled;
  }

  addSwitch(label, isOn, onChange) {
    const box = seeElement("input", { type: "checkbox", onchange: () => onChange(box.checked) });
    box.checked = isOn;
    this.tools.append(seeElement("label", {}, box, label));
  }

  addLogSwitch() {
    this.addSwitch("Log scale", this.log, (on) => {
      this.log = on;
      this.key = null;
      this.draw(this.curves, this.marks);
    });
  }

  draw(curves, marks = []) {
    this.curves = curves;
    this.marks = marks;
    const drawn = curves.filter((curve) => curve.x.length);
    this.show(drawn.length > 0);
    if (!drawn.length) {
      this.destroyPlot();
      return;
    }
    // A log scale has no place for 0 and below.
    const onScale = (y) => (this.log ? y.map((value) => (value > 0 ? value : null)) : y);
    this.data = uPlot.join(drawn.map((curve) => [curve.x, onScale(curve.y)]));
    const key = JSON.stringify(drawn.map((c) => [c.row, c.column, c.slot, c.dash, c.pale]));
    this.drawn = drawn;
    if (this.plot === null || key !== this.key) this.makePlot(key);
    else if (this.zoomed) {
      this.plot.setData(this.data, false);
      this.plot.redraw();
    } else this.plot.setData(this.data);
    this.fillTable();
  }

  makePlot(key) {
    const width = this.host.clientWidth;
    if (!width) return; // comes back by `resize`
    this.destroyPlot();
    this.key = key;
    this.zoomed = false;
    this.whole.hidden = true;
    this.plot = new uPlot(this.options(width), this.data, this.host);
    const canvas = this.host.querySelector("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${this.title}: lines. The table below has their last values.`);
  }

  options(width) {
    const quiet = () => this.colours.css("quiet");
    const axis = {
      stroke: quiet,
      font: "11px system-ui, sans-serif",
      grid: { stroke: () => this.colours.css("grid"), width: 1 },
      ticks: { show: false },
      values: (_, splits) => splits.map(watchTick),
    };
    const logRange = (_, low, high) => (low === null ? [0.1, 1] : [watchLogFloor(low), high * 1.15]);
    const range = (_, low, high) => (low === null ? [0, 1] : uPlot.rangeNum(low, high, 0.06, true));
    return {
      width,
      height: this.height(),
      padding: [10, 20, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: true, y: false },
        points: { size: 6 },
        // The shadow of a curve has no point under the cursor.
        dataIdx: (plot, series, index) =>
          series && this.drawn[series - 1].pale ? null : watchNearest(plot.data[series], index),
      },
      scales: { x: { time: false }, y: this.log ? { distr: 3, range: logRange } : { range } },
      axes: [
        { ...axis, size: 28, incrs: SEE_WHOLE_STEPS },
        { ...axis, size: 52, gap: 4 },
      ],
      series: [{}, ...this.drawn.map((curve) => this.lineOptions(curve))],
      hooks: {
        setCursor: [() => this.fillTable()],
        setSelect: [(plot) => this.setZoomed(plot.select.width > 0)],
        setScale: [(plot, name) => name === "x" && this.noticeReset(plot)],
        draw: [(plot) => this.drawMarks(plot)],
      },
    };
  }

  height() {
    return this.element.classList.contains("see-watch-wide") ? 260 : 190;
  }

  lineOptions(curve) {
    return {
      stroke: () => this.colours.css(watchSeriesName(curve.slot)),
      width: curve.pale ? 1 : 1.75,
      alpha: curve.pale ? 0.24 : 1,
      dash: curve.dash ?? watchDash(curve.slot) ?? undefined,
      points: { show: !curve.pale && curve.x.length === 1, size: 5 },
    };
  }

  setZoomed(zoomed) {
    this.zoomed = zoomed;
    this.whole.hidden = !zoomed;
  }

  // A double click makes uPlot show all.
  noticeReset(plot) {
    const [places] = plot.data;
    const { min, max } = plot.scales.x;
    if (this.zoomed && min <= places[0] && max >= places[places.length - 1]) this.setZoomed(false);
  }

  showAll() {
    this.setZoomed(false);
    this.plot?.setData(this.data);
    if (document.activeElement === document.body) this.host.focus();
  }

  drawMarks(plot) {
    for (const { at, slot } of this.marks) {
      const x = Math.round(plot.valToPos(at, "x", true));
      const { left, top, width, height } = plot.bbox;
      if (x < left || x > left + width) continue;
      plot.ctx.save();
      plot.ctx.strokeStyle = this.colours.css(watchSeriesName(slot));
      plot.ctx.setLineDash([4, 4]);
      plot.ctx.beginPath();
      plot.ctx.moveTo(x, top);
      plot.ctx.lineTo(x, top + height);
      plot.ctx.stroke();
      plot.ctx.restore();
    }
  }

  onKey(event) {
    if (this.plot === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const actions = {
      ArrowLeft: () => this.moveCursor(-1),
      ArrowRight: () => this.moveCursor(1),
      "+": () => this.zoom(0.5),
      "=": () => this.zoom(0.5),
      "-": () => this.zoom(2),
      Escape: () => this.showAll(),
    };
    if (!(event.key in actions)) return;
    event.preventDefault();
    actions[event.key]();
  }

  // Over a hundredth of the width, so that all can be walked through in a while.
  moveCursor(direction) {
    const { plot } = this;
    const width = plot.over.clientWidth;
    const old = plot.cursor.left >= 0 ? plot.cursor.left : direction > 0 ? 0 : width;
    const left = Math.min(width - 1, Math.max(0, old + (direction * width) / 100));
    plot.setCursor({ left, top: plot.over.clientHeight / 2 });
  }

  zoom(factor) {
    const { min, max } = this.plot.scales.x;
    const places = this.data[0];
    const middle = this.plot.cursor.left >= 0 ? this.plot.posToVal(this.plot.cursor.left, "x") : (min + max) / 2;
    const low = Math.max(places[0], middle - (middle - min) * factor);
    const high = Math.min(places[places.length - 1], middle + (max - middle) * factor);
    if (high <= low) return;
    this.setZoomed(low > places[0] || high < places[places.length - 1]);
    this.plot.setScale("x", { min: low, max: high });
  }

  resize() {
    const width = this.host.clientWidth;
    if (!width) return;
    if (this.plot === null) this.draw(this.curves, this.marks);
    else if (this.plot.width !== width) this.plot.setSize({ width, height: this.height() });
  }

  // The columns of the table are those of the curves; a pale curve is the shadow of another.
  fillTable() {
    const curves = this.drawn.map((curve, index) => ({ ...curve, index: index + 1 })).filter((c) => !c.pale);
    const columns = [...new Set(curves.map((curve) => curve.column))];
    const rows = [...new Set(curves.map((curve) => curve.row))];
    const at = this.plot && this.plot.cursor.left >= 0 ? this.plot.cursor.idx : null;
    const where = at === null || at === undefined ? "Last" : `At ${this.place} ${watchNumber(this.data[0][at])}`;
    const value = (curve) => {
      if (where === "Last") return watchLastText(curve);
      const index = this.plot.cursor.idxs[curve.index];
      return index === null || index === undefined ? "–" : watchNumber(this.data[curve.index][index]);
    };
    const isDashed = (column) => curves.some((curve) => curve.column === column && curve.dash);
    const head = [{ text: where }, ...columns.map((text) => ({ text, dashed: isDashed(text) }))];
    const body = rows.slice(0, WATCH_MOST_ROWS).map((row) => {
      const own = curves.filter((curve) => curve.row === row);
      const cells = columns.map((column) => own.find((curve) => curve.column === column));
      return { row, slot: own[0].slot, cells: cells.map((curve) => (curve ? value(curve) : "–")) };
    });
    watchFillTable(this.table, head, body);
    const more = rows.length - body.length;
    if (more <= 0) return;
    const rest = seeElement("td", { colspan: head.length }, `and ${more} more`);
    this.table.tBodies[0].append(seeElement("tr", {}, rest));
  }

  destroyPlot() {
    this.plot?.destroy();
    this.plot = null;
    this.key = null;
  }

  recolour() {
    this.plot?.redraw(false);
  }

  stop() {
    this.sizes.disconnect();
    this.destroyPlot();
  }
}

// What was last is told by `last` where the curve itself is thinned; null stands for NaN.
function watchLastText(curve) {
  const last = curve.last === undefined ? watchLast(curve) : curve.last;
  return last === null ? "NaN" : watchNumber(last);
}

// The place of a curve's point nearest to the cursor, as joined series are empty at most places; null
// before its begin, after its end, and where it has a gap.
function watchNearest(values, index) {
  let left = index;
  let right = index;
  while (left >= 0 && values[left] === undefined) left -= 1;
  while (right < values.length && values[right] === undefined) right += 1;
  if (left < 0 || right >= values.length) return null;
  const nearest = index - left <= right - index ? left : right;
  return values[nearest] === null ? null : nearest;
}

function watchFillTable(table, head, body) {
  const cells = head.map(({ text, dashed }, i) => {
    const kinds = [i ? "see-watch-figure" : "", dashed ? "see-watch-dashed" : ""];
    return seeElement("th", { scope: "col", class: kinds.join(" ") }, text);
  });
  const rows = body.map(({ row, slot, cells: values }) => {
    const name = seeElement("th", { scope: "row" }, watchSwatch(slot), seeElement("span", { title: row }, row));
    return seeElement("tr", {}, name, ...values.map((text) => seeElement("td", { class: "see-watch-figure" }, text)));
  });
  table.replaceChildren(
    seeElement("thead", {}, seeElement("tr", {}, ...cells)),
    seeElement("tbody", {}, ...rows),
  );
}
