// Of the view to play with: the network, charts, and where the samples lie.

/** A number in 3 to 5 digits. */
function playNumber(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "not finite";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(3);
  return String(Number(value.toPrecision(5)));
}

/** Whether a control has the focus, in a shadow tree too, as marimo has it. */
function playHasFocus(control) {
  return control.getRootNode().activeElement === control;
}

/** A labelled control. */
function playField(label, control) {
  return seeElement("label", { className: "see-field" }, seeElement("span", {}, label), control);
}

/** A section with a heading. */
function playPanel(title, ...children) {
  const heading = seeElement("h2", {}, title);
  return seeElement("section", { className: "see-panel" }, heading, ...children);
}

/** The picture of the network: laid out once, then its texts, lines and images are exchanged. */
class PlayPicture {
  constructor(onPick, onLook) {
    this.scroller = seeElement("div", {
      className: "see-scroller", tabIndex: 0, role: "group", ariaLabel: "The network",
    });
    this.caption = seeElement("p", { className: "see-says", ariaLive: "polite" });
    this.frame = 0;
    this.frames = [];
    this.scroller.addEventListener("click", (event) => {
      const key = event.target.dataset?.key;
      if (!key) return;
      if (key.endsWith(":image")) onLook(key.slice(0, -6), this.cell(event));
      else onPick(key);
    });
  }

  /** The row and column of an image that was pointed at, and how many it has. */
  cell(event) {
    const box = event.target.getBoundingClientRect();
    const [rows, columns] = ["rows", "columns"].map((name) => Number(event.target.dataset[name]));
    const part = (at, length, n) => Math.max(0, Math.min(n - 1, Math.floor((at / length) * n)));
    const row = part(event.clientY - box.top, box.height, rows);
    return { row, column: part(event.clientX - box.left, box.width, columns), rows, columns };
  }

  show(state) {
    this.frames = state.frames;
    if (state.svg) {
      // Our own SVG, whose texts Python has escaped: there is no script in it, and none would run.
      const parsed = new DOMParser().parseFromString(state.svg, "image/svg+xml");
      this.svg = document.importNode(parsed.documentElement, true);
      // It may shrink a little to fit in; what is wider still is scrolled.
      this.svg.style.minWidth = `${0.8 * Number(this.svg.getAttribute("width"))}px`;
      this.scroller.replaceChildren(this.svg);
      this.items = new Map();
      this.born = [];
      for (const item of this.svg.querySelectorAll("[data-frame]")) {
        const { key, frame } = item.dataset;
        if (key) this.items.set(key, [...(this.items.get(key) ?? []), item]);
        (this.born[frame] ??= []).push(item);
      }
    } else {
      for (const [key, live] of Object.entries(state.patch ?? {})) {
        for (const item of this.items.get(key) ?? []) playPatch(item, live);
      }
    }
    this.svg.setAttribute("aria-label", `The network in step ${state.step}`);
  }

  /** Show what the first frames have found, the newest of it bold. */
  reveal(frame) {
    this.frame = Math.max(0, Math.min(frame, this.frames.length - 1));
    this.born.forEach((items, born) => {
      for (const item of items ?? []) {
        item.classList.toggle("see-hidden", born > this.frame);
        item.classList.toggle("see-new", born === this.frame && born > 0);
      }
    });
    const text = `${this.frame + 1} of ${this.frames.length}. ${this.frames[this.frame] ?? ""}`;
    if (this.caption.textContent !== text) this.caption.textContent = text;
  }

  /** Scroll to what the present frame shows for the first time. */
  follow() {
    const boxes = (this.born[this.frame] ?? []).map((item) => item.getBoundingClientRect());
    if (!boxes.length) return;
    const view = this.scroller.getBoundingClientRect();
    const shift = (low, high, start, end) => {
      if (low >= start && high <= end) return 0;
      return high - low > end - start ? low - start - 20 : (low + high - start - end) / 2;
    };
    const [left, top] = ["left", "top"].map((side) => Math.min(...boxes.map((box) => box[side])));
    const [right, bottom] = ["right", "bottom"].map((side) => Math.max(...boxes.map((box) => box[side])));
    this.scroller.scrollLeft += shift(left, right, view.left, view.right);
    this.scroller.scrollTop += shift(top, bottom, view.top, view.bottom);
  }

  mark(key) {
    for (const item of this.svg.querySelectorAll(".see-chosen")) item.classList.remove("see-chosen");
    // A bias is one number of a row to Python, and of a list in the picture.
    const items = this.items.get(key) ?? this.items.get(key?.replace("[0,", "["));
    for (const item of items ?? []) item.classList.add("see-chosen");
  }
}

function playPatch(item, live) {
  for (const [name, value] of Object.entries(live)) {
    if (name === "text") {
      if (item.textContent !== value) item.textContent = value;
    } else if (item.getAttribute(name) !== value) {
      item.setAttribute(name, value);
    }
  }
}

/** A small line chart. */
class PlayChart {
  constructor(label, series, xLabel) {
    this.box = seeElement("div", { className: "see-chart", role: "img", ariaLabel: label });
    this.label = label;
    this.series = series;
    this.xLabel = xLabel;
    this.sized = new ResizeObserver(() => this.resize());
    this.sized.observe(this.box);
  }

  resize() {
    const width = this.box.clientWidth;
    if (this.plot && width && width !== this.plot.width) this.plot.setSize({ width, height: 170 });
  }

  draw(data, said) {
    this.box.setAttribute("aria-label", `${this.label}. ${said}`);
    if (this.plot) {
      this.plot.setData(data);
      return;
    }
    const color = (name) => seeColor(this.box, name);
    const axis = {
      stroke: color("--see-quiet"), grid: { stroke: color("--see-grid"), width: 1 },
      ticks: { show: false }, font: "11px system-ui, sans-serif",
    };
    this.plot = new uPlot(
      {
        width: this.box.clientWidth || 300, height: 170, legend: { show: false },
        cursor: { drag: { x: false, y: false } },
        // Of a single point uPlot would make a range of 100.
        scales: { x: { time: false, range: ({ data: [x] }) => [x[0], Math.max(x.at(-1), x[0] + 1)] } },
        axes: [
          { ...axis, label: this.xLabel, labelSize: 18, size: 28, incrs: this.xLabel === "step" ? SEE_WHOLE_STEPS : undefined },
          { ...axis, size: 52 },
        ],
        series: [{}, ...this.series.map((each) => ({ ...each, stroke: color(each.stroke) }))],
      },
      data,
      this.box,
    );
  }

  stop() {
    this.sized.disconnect();
    this.plot?.destroy();
  }
}

/** Where the network decides, with the samples; or the line that it has learnt. */
class PlayGround {
  constructor(onSample) {
    this.onSample = onSample;
    this.box = seeElement("div", { className: "see-ground-box" });
  }

  set(points) {
    this.points = points;
    this.chart?.stop();
    this.chart = null;
    this.box.replaceChildren();
    if (!points) return;
    if (!points.label) {
      const series = [
        { label: "samples", stroke: "--see-series-1", paths: () => null, points: { show: true, size: 4 } },
        { label: "network", stroke: "--see-accent", width: 2, points: { show: false } },
      ];
      this.chart = new PlayChart("Samples and what the network says of them", series, "x");
      this.box.append(this.chart.box);
      return;
    }
    const make = (tag, attributes) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
      return element;
    };
    const svg = make("svg", { viewBox: "0 0 200 200", role: "img", class: "see-plane" });
    this.svg = svg;
    this.image = make("image", { width: 200, height: 200, preserveAspectRatio: "none" });
    svg.append(this.image);
    const [low, high] = [points.low, points.high];
    this.dots = points.x.map((x, n) => {
      const dot = make("circle", {
        cx: (200 * (x - low[0])) / (high[0] - low[0]),
        cy: 200 - (200 * (points.y[n] - low[1])) / (high[1] - low[1]),
        r: 3.2, class: `see-dot see-dot-${points.label[n] % 7}`,
      });
      dot.addEventListener("click", () => this.onSample(n));
      return dot;
    });
    svg.append(...this.dots);
    this.box.append(svg);
  }

  show(state) {
    if (!this.points || !state.ground) return;
    if (this.chart) {
      const { x, y } = state.ground;
      // One x axis for both: samples where there are some, and the line's own points.
      const all = [...new Set([...this.points.x, ...x])].sort((a, b) => a - b);
      const at = (xs, ys) => {
        const known = new Map(xs.map((each, n) => [each, ys[n]]));
        return all.map((each) => known.get(each) ?? undefined);
      };
      this.chart.draw([all, at(this.points.x, this.points.y), at(x, y)], "");
      return;
    }
    this.image.setAttribute("href", state.ground.image);
    const n = this.points.x.length;
    this.svg.setAttribute("aria-label", `${n} samples, and the class that the network chooses around them`);
    this.dots.forEach((dot, row) => dot.classList.toggle("see-dot-chosen", row === state.row));
  }

  stop() {
    this.chart?.stop();
  }
}
