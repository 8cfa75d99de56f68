// The view to play with: the network, and forward, back, update; a weight from near; where the
// network decides. Python works every number out and draws the picture; here texts are exchanged.

const PLAY_PACES = {
  frames: { label: "frame by frame", wait: 900 },
  steps: { label: "step by step", wait: 220 },
  fast: { label: "10 steps at once", wait: 120 },
};

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
      if (key.endsWith(":image")) onLook(key.slice(0, -6), ...this.cell(event));
      else onPick(key);
    });
  }

  /** The row and column of an image that was pointed at. */
  cell(event) {
    const box = event.target.getBoundingClientRect();
    const { rows, columns } = event.target.dataset;
    const part = (at, length, n) => Math.max(0, Math.min(n - 1, Math.floor((at / length) * n)));
    return [
      part(event.clientY - box.top, box.height, Number(rows)),
      part(event.clientX - box.left, box.width, Number(columns)),
    ];
  }

  show(state) {
    this.frames = state.frames;
    if (state.svg) {
      // Our own SVG, whose texts Python has escaped: there is no script in it, and none would run.
      const parsed = new DOMParser().parseFromString(state.svg, "image/svg+xml");
      this.svg = document.importNode(parsed.documentElement, true);
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
        axes: [{ ...axis, label: this.xLabel, labelSize: 18, size: 28 }, { ...axis, size: 52 }],
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
        { label: "network", stroke: "--see-derivative", width: 2, points: { show: false } },
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

/** One weight from near. */
class PlayWeight {
  constructor(act, look) {
    this.act = act;
    this.look = look;
    this.name = seeElement("select", { onchange: () => this.choose() });
    this.row = seeElement("input", { type: "number", min: 0, value: 0, onchange: () => this.choose() });
    this.column = seeElement("input", { type: "number", min: 0, value: 0, onchange: () => this.choose() });
    const set = (event) => this.set(event.target.value);
    this.value = seeElement("input", { type: "number", step: "any", onchange: set });
    this.slider = seeElement("input", { type: "range", step: 0.01, min: -3, max: 3, oninput: set });
    this.check = seeElement(
      "button", { type: "button", onclick: () => this.act({ do: "check" }) }, "Check the gradient",
    );
    this.facts = seeElement("dl", { className: "see-facts", ariaLive: "polite" });
    this.parts = seeElement("p", { className: "see-parts" });
    this.rule = seeElement("div", { className: "see-rule" });
    this.lens = seeElement("div", { className: "see-lens" });
    this.curve = new PlayChart("The loss for other values of the weight", [
      { label: "loss", stroke: "--see-value", width: 1.5, points: { show: false } },
      { label: "gradient", stroke: "--see-derivative", width: 1.5, points: { show: false } },
      { label: "now", stroke: "--see-accent", paths: () => null, points: { show: true, size: 8 } },
    ], "weight");
    const chooser = seeElement(
      "div", { className: "see-row" },
      playField("Parameter", this.name), playField("Row", this.row), playField("Column", this.column),
    );
    this.setter = seeElement(
      "div", { className: "see-row" },
      playField("Value", this.value), playField("Drag", this.slider), this.check,
    );
    this.found = seeElement(
      "div", { hidden: true },
      this.setter, this.facts, this.curve.box, this.parts, this.rule,
    );
    this.panel = playPanel("One weight from near", chooser, this.found, this.lens);
  }

  setShapes(shapes) {
    this.shapes = shapes;
    // With "none" first, the first parameter can be chosen by keyboard, too.
    const names = Object.keys(shapes).map((each) => seeElement("option", {}, each));
    this.name.replaceChildren(seeElement("option", { value: "" }, "none"), ...names);
    this.limit();
  }

  limit() {
    const shape = this.shapes[this.name.value] ?? [1, 1];
    for (const [input, n] of [[this.row, shape[0]], [this.column, shape[1] ?? 1]]) {
      input.max = n - 1;
      if (Number(input.value) >= n) input.value = n - 1;
    }
  }

  key() {
    if (!this.name.value) return null;
    const shape = this.shapes[this.name.value] ?? [];
    const index = [this.row.value, this.column.value].slice(0, shape.length).map((n) => Number(n) || 0);
    return `${this.name.value}[${index.join(",")}]`;
  }

  async choose() {
    this.limit();
    this.choosing = (this.choosing ?? 0) + 1;
    await this.act({ do: "choose", key: this.key() });
    this.choosing -= 1;
    if (this.name.value) this.look(this.name.value, Number(this.row.value), Number(this.column.value));
  }

  /** Take the last of the values that a drag gives, one query at a time. */
  async set(text) {
    const value = Number(text);
    if (text === "" || !Number.isFinite(value) || !this.chosen) return;
    this.wanted = value;
    if (this.busy) return;
    this.busy = true;
    while (this.wanted !== undefined) {
      const next = this.wanted;
      this.wanted = undefined;
      await this.act({ do: "set", key: this.chosen.key, value: next });
    }
    this.busy = false;
  }

  show(chosen) {
    this.chosen = chosen;
    this.found.hidden = !chosen;
    if (!chosen) {
      if (!this.choosing) this.name.value = "";
      return;
    }
    this.follow(chosen.key);
    if (!playHasFocus(this.value)) this.value.value = playNumber(chosen.value);
    const reach = Math.max(3, Math.ceil(2 * Math.abs(chosen.value)));
    if (!this.busy) [this.slider.min, this.slider.max] = [-reach, reach];
    if (!playHasFocus(this.slider)) this.slider.value = chosen.value;
    const facts = [["by backpropagation", playNumber(chosen.gradient)]];
    if (chosen.numeric !== undefined) {
      facts.push(["by central differences", playNumber(chosen.numeric)]);
      facts.push(["digits that agree", String(chosen.digits)]);
    }
    this.facts.replaceChildren(
      ...facts.flatMap(([term, value]) => [seeElement("dt", {}, term), seeElement("dd", {}, value)]),
    );
    this.showParts(chosen);
    this.rule.replaceChildren(...(chosen.rule ?? []).map((line) => seeElement("p", {}, line)));
    this.curve.box.hidden = !chosen.curve;
    if (chosen.curve) this.showCurve(chosen);
  }

  follow(key) {
    if (this.choosing && key !== this.key()) return; // another choice is on its way
    const [, name, index] = key.match(/^(.*)\[(.*)\]$/);
    this.name.value = name;
    const places = index.split(",");
    const shape = this.shapes[name] ?? [];
    if (places.length < shape.length) places.unshift("0");
    if (!playHasFocus(this.row)) this.row.value = places[0];
    if (!playHasFocus(this.column)) this.column.value = places[1] ?? 0;
    this.limit();
  }

  showParts(chosen) {
    if (!chosen.parts) {
      this.parts.textContent = "";
      return;
    }
    const { inputs, dvalues, parts } = chosen.parts;
    const few = parts.slice(0, 4).map((part, n) =>
      inputs ? `${playNumber(inputs[n])} · ${playNumber(dvalues[n])}` : playNumber(part),
    );
    const sum = parts.reduce((total, part) => total + part, 0);
    const what = inputs ? "input times derivative, summed" : "derivatives, summed";
    const more = parts.length > 4 ? ` + … (${parts.length} samples)` : "";
    this.parts.textContent = `The gradient is ${what} over the samples: ${few.join(" + ")}${more} = ${playNumber(sum)}`;
    const rest = chosen.gradient - sum;
    if (Math.abs(rest) > 1e-6 * Math.max(1e-3, Math.abs(chosen.gradient))) {
      this.parts.textContent += `, and ${playNumber(rest)} from the penalty`;
    }
  }

  showCurve(chosen) {
    const { x, y } = chosen.curve;
    const middle = (x.length - 1) / 2;
    const tangent = x.map((w) => y[middle] + chosen.gradient * (w - x[middle]));
    // The tangent is cut where it would leave the curve's own range, which it would flatten.
    const [low, high] = [Math.min(...y), Math.max(...y)];
    const room = 0.15 * (high - low || 1);
    const cut = tangent.map((v) => (v < low - room || v > high + room ? null : v));
    const now = x.map((_, n) => (n === middle ? y[n] : null));
    this.curve.draw([x, y, cut, now], `At ${playNumber(x[middle])} it is ${playNumber(y[middle])}`);
  }

  showLens(answer) {
    if (!answer) {
      this.lens.replaceChildren();
      return;
    }
    const [row, column] = answer.at;
    const head = seeElement(
      "tr", {}, seeElement("td", {}),
      ...answer.values[0].map((_, n) => seeElement("th", { scope: "col" }, String(answer.column + n))),
    );
    const body = answer.values.map((values, m) =>
      seeElement(
        "tr", {}, seeElement("th", { scope: "row" }, String(answer.row + m)),
        ...values.map((value, n) => {
          const here = answer.row + m === row && answer.column + n === column;
          return seeElement("td", { className: here ? "see-here" : "" }, playNumber(value));
        }),
      ),
    );
    const title = `${answer.name}, around row ${row}, column ${column}`;
    const table = seeElement("table", {}, seeElement("caption", {}, title), seeElement("tbody", {}, head, ...body));
    const wide = { className: "see-wide", tabIndex: 0, role: "group", ariaLabel: title };
    this.lens.replaceChildren(seeElement("div", wide, table));
  }

  stop() {
    this.curve.stop();
  }
}

/** The form that makes another network. */
function playForm(choices, setup, submit) {
  const data = seeElement("select", {}, ...choices.data.map((each) => seeElement("option", {}, each)));
  data.value = setup.data;
  const text = (value, hint) =>
    seeElement("input", { type: "text", value: value ?? "", spellcheck: false, autocomplete: "off", title: hint });
  const layers = text(setup.layers, `Layers as in Python: ${choices.layers.join(", ")}`);
  const loss = text(setup.loss, choices.losses.join(", "));
  const optimizer = text(setup.optimizer, choices.optimizers.join(", "));
  const count = (value) => seeElement("input", { type: "number", min: 0, value });
  const [batch, seed] = [count(setup.batch_size), count(setup.seed)];
  const known = { layers: setup.layers, loss: setup.loss, optimizer: setup.optimizer };
  data.addEventListener("change", () => submit({ data: data.value, seed: Number(seed.value) }));
  const form = seeElement(
    "form",
    {
      className: "see-form",
      onsubmit: (event) => {
        event.preventDefault();
        submit({
          data: data.value, layers: layers.value, optimizer: optimizer.value,
          loss: loss.value === known.loss && layers.value !== known.layers ? "" : loss.value,
          batch_size: Number(batch.value) || undefined, seed: Number(seed.value),
        });
      },
    },
    playField("Data", data), playField("Layers", layers), playField("Loss", loss),
    playField("Optimizer", optimizer), playField("Batch size", batch), playField("Seed", seed),
    seeElement("button", { type: "submit" }, "Build"),
  );
  return form;
}

function playView(root, ask, first, { recorded, restart }) {
  const state = { ...first };
  let losses = [...first.losses];
  let timer = null;
  let lensAt = null;

  const alert = seeElement("p", { role: "alert", className: "see-alert", hidden: true });
  const weight = new PlayWeight((query) => act(query), look);
  const ground = new PlayGround((row) => {
    if (state.n_samples === state.all_samples) act({ do: "sample", sample: row });
  });
  const picture = new PlayPicture(
    (key) => {
      const name = key.replace(/\[.*$/, "");
      if (!recorded && name in state.shapes) act({ do: "choose", key });
    },
    look,
  );
  const lossChart = new PlayChart("The loss, step by step", [
    { label: "loss", stroke: "--see-series-1", width: 1.5, points: { show: (plot) => plot.data[0].length === 1 } },
  ], "step");

  const button = (text, onclick, hint) => seeElement("button", { type: "button", onclick, title: hint }, text);
  const rewind = button("Rewind", () => { pause(); act({ do: "rewind" }, 0); }, "Back to the first weights");
  const back = button("‹ Back", () => { pause(); picture.reveal(picture.frame - 1); }, "One frame back");
  const onward = button("Forward ›", () => { pause(); forward(); }, "One frame forward");
  const update = button(recorded ? "Next step" : "Update", () => { pause(); act({ do: "step" }); }, "One step of the optimizer");
  const play = button("Play", () => (timer ? pause() : start()));
  const pace = seeElement(
    "select", { ariaLabel: "Pace" },
    ...Object.entries(PLAY_PACES).map(([value, each]) => seeElement("option", { value }, each.label)),
  );
  const status = seeElement("p", { className: "see-status", ariaLive: "off" });
  const sample = seeElement("input", { type: "number", min: 0, onchange: () => act({ do: "sample", sample: Number(sample.value) }) });
  const image = seeElement("img", { className: "see-sample", hidden: true, alt: "" });
  const detail = seeElement(
    "select", { onchange: () => act({ do: "detail", detail: detail.value }) },
    ...["auto", ...(first.details ?? [])].map((each) => seeElement("option", {}, each)),
  );
  const tools = seeElement(
    "div", { className: "see-tools", role: "group", ariaLabel: "Steps" },
    rewind, back, onward, update, play, playField("Pace", pace),
    recorded ? null : playField("Sample", sample), recorded ? null : playField("Drawn as", detail), status,
  );
  const formBox = seeElement("div", {});
  const groundPanel = playPanel("Samples", ground.box, image);
  const aside = seeElement(
    "div", { className: "see-aside" },
    playPanel("Loss", lossChart.box), groundPanel, recorded ? null : weight.panel,
  );
  root.append(
    seeElement("h1", { className: "see-unseen" }, recorded ? "A recorded training" : "Play with a network"),
    formBox, tools, alert,
    seeElement("div", { className: "see-stage" }, picture.scroller, picture.caption), aside,
  );

  function pause() {
    clearTimeout(timer);
    timer = null;
    play.textContent = "Play";
  }

  function start() {
    play.textContent = "Pause";
    timer = setTimeout(tick, 0);
  }

  async function tick() {
    const mode = pace.value;
    const began = performance.now();
    const ended = mode === "frames" ? await forward() : await act({ do: "step", n: mode === "fast" ? 10 : 1 });
    if (timer === null) return;
    if (ended) pause();
    else timer = setTimeout(tick, Math.max(0, PLAY_PACES[mode].wait - (performance.now() - began)));
  }

  /** One frame on, and behind the last one an update; whether that was the end. */
  async function forward() {
    if (picture.frame < picture.frames.length - 1) {
      picture.reveal(picture.frame + 1);
      return false;
    }
    if (recorded && state.ended) return true;
    return act({ do: "step" }, 0);
  }

  /** Show the numbers around a square of a heat map. */
  async function look(name, row, column) {
    if (recorded || state.drawn_as !== "fields") return;
    const answer = await ask({ do: "lens", name, row, column });
    if (answer.error) return;
    lensAt = [name, row, column];
    weight.showLens(answer);
  }

  /** Ask, and show the state that comes; whether it can go no further. */
  async function act(query, frame = null) {
    const answer = await ask({ ...query, layout: state.layout, have: losses.length });
    alert.hidden = !answer.error;
    if (answer.error) {
      pause();
      alert.textContent = answer.error;
      if (answer.lost && restart) alert.append(" ", button("Start again", restart));
      return true;
    }
    show(answer, frame ?? (query.do === "set up" ? 0 : picture.frames.length === 0 ? 0 : picture.frame));
    if (lensAt) look(...lensAt);
    return Boolean(recorded && answer.ended);
  }

  function show(answer, frame) {
    const isNew = Boolean(answer.setup);
    Object.assign(state, answer);
    losses = [...losses.slice(0, answer.have), ...answer.losses];
    const stays = picture.frame === picture.frames.length - 1 && frame === picture.frame;
    picture.show(answer);
    picture.reveal(stays ? picture.frames.length - 1 : frame);
    if (isNew) {
      ground.set(answer.points);
      groundPanel.hidden = !answer.points && !answer.image;
      if (!recorded) {
        weight.setShapes(answer.shapes);
        weight.showLens(null);
        lensAt = null;
        formBox.replaceChildren(playForm(answer.choices, answer.setup, (wanted) => { pause(); act({ do: "set up", ...wanted }); }));
        detail.value = answer.detail;
      }
    }
    sample.max = answer.n_samples - 1;
    if (!playHasFocus(sample)) sample.value = answer.sample;
    status.textContent = `Step ${answer.step}, loss ${playNumber(answer.loss)}, learning rate ${playNumber(answer.learning_rate)}`;
    const steps = [...losses, answer.loss];
    lossChart.draw([steps.map((_, n) => n), steps], `It is ${playNumber(answer.loss)} in step ${answer.step}`);
    ground.show(answer);
    image.hidden = !answer.image;
    if (answer.image) {
      image.src = answer.image.href;
      image.alt = `Sample ${answer.row}, target ${answer.image.target.join(", ")}`;
    }
    if (!recorded) {
      weight.show(answer.chosen);
      picture.mark(answer.chosen?.key);
    }
  }

  show(first, 0);
  // A recording plays by itself, unless less motion is asked for.
  if (recorded && !matchMedia("(prefers-reduced-motion: reduce)").matches) start();
  return () => {
    pause();
    lossChart.stop();
    ground.stop();
    weight.stop();
  };
}
