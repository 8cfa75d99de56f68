// Inside one run, on the page that watches trainings: its layers, its weights and what it gets wrong.

const WATCH_STRIP_WIDTH = 480;
const WATCH_STRIP_HEIGHT = 96;

class WatchInside {
  constructor(colours, onChoice) {
    this.colours = colours;
    this.onChoice = onChoice;
    this.run = null;
    this.layer = null;
    this.reset();
    this.runChoice = seeElement("select", { "aria-label": "Run", onchange: () => this.chooseRun(this.runChoice.value) });
    const onLayer = () => this.chooseLayer(this.layerChoice.value);
    this.layerChoice = seeElement("select", { "aria-label": "Layer", onchange: onLayer });
    this.about = seeElement("p", { class: "see-watch-quiet" });
    this.gradients = this.chart("Gradient norm by layer", "No gradients have been looked at yet.");
    this.updates = this.chart("Update size by layer", "No updates have been looked at yet.");
    this.norms = this.chart("Weight norm by layer", "No weights have been looked at yet.", false);
    this.charts = [this.gradients, this.updates, this.norms];
    this.strips = this.card("Histograms over time", true);
    this.layerLabel = seeElement("label", {}, "Layer ", this.layerChoice);
    this.strips.head.append(this.layerLabel);
    this.dead = this.card("Dead units by layer");
    this.weights = this.card("Weights of the first layer");
    this.wrong = this.card("Misclassified samples");
    const cards = [...this.charts, this.strips, this.dead, this.weights, this.wrong];
    const head = seeElement("div", { class: "see-watch-section-head" }, seeElement("h2", {}, "Inside one run"));
    head.append(seeElement("label", {}, "Run ", this.runChoice));
    const grid = seeElement("div", { class: "see-watch-cards" }, ...cards.map((card) => card.element));
    this.element = seeElement("section", { class: "see-watch-inside" }, head, this.about, grid);
  }

  chart(title, empty, log = true) {
    const chart = new WatchChart(this.colours, { title, place: "step", log, empty });
    chart.addLogSwitch();
    return chart;
  }

  card(title, wide = false) {
    const body = seeElement("div", { class: "see-watch-card-body" });
    const head = seeElement("div", { class: "see-watch-card-head" }, seeElement("h3", {}, title));
    const kind = wide ? "see-watch-card see-watch-wide" : "see-watch-card";
    return { head, body, element: seeElement("section", { class: kind }, head, body) };
  }

  reset() {
    this.cursor = null;
    this.layers = new Map();
    this.pictures = null;
    this.resetStrips();
  }

  resetStrips() {
    this.layerCursor = null;
    this.columns = { outputs: [], gradients: [] };
  }

  // What `look` is asked for.
  query() {
    if (this.run === null) return null;
    return { run: this.run, since: this.cursor, layer: this.layer, layer_since: this.layerCursor };
  }

  chooseRun(name) {
    if (name === this.run) return;
    this.run = name;
    this.reset();
    this.onChoice();
  }

  chooseLayer(name) {
    this.layer = name;
    this.resetStrips();
    this.onChoice();
  }

  // Takes in an answer; one to a question that is no longer asked is left alone.
  take(answer) {
    if (!answer || answer.run !== this.run) return;
    if (answer.whole) this.reset();
    const before = this.layers;
    this.layers = new Map();
    for (const { name, kind, units, series } of answer.layers) {
      const layer = before.get(name) ?? { series: new Map() };
      watchMergeAll(layer.series, series);
      this.layers.set(name, { ...layer, kind, units });
    }
    if (answer.pictures !== undefined) this.pictures = answer.pictures;
    this.cursor = answer.cursor;
    if (answer.layer !== this.layer) return;
    if (answer.layer_whole) this.resetStrips();
    for (const [name, news] of Object.entries(answer.strips)) {
      this.columns = { ...this.columns, [name]: watchMergeColumns(this.columns[name], news) };
    }
    this.layerCursor = answer.cursor;
  }

  // Shows one of the chosen runs, and keeps to it while it is chosen.
  offer(runs) {
    this.element.hidden = runs.length === 0;
    const names = runs.map((run) => run.name);
    watchFillSelect(this.runChoice, runs.map((run) => [run.name, run.title]));
    if (!names.includes(this.run)) {
      this.run = names[0] ?? null;
      this.reset();
    }
    if (this.run !== null) this.runChoice.value = this.run;
  }

  draw(run) {
    if (!run) return;
    this.drawAbout(run);
    this.offerLayers();
    this.drawNorms(this.gradients, "gradient_norm");
    this.drawNorms(this.updates, "update_size");
    this.drawNorms(this.norms, "weight_norm");
    this.drawStrips();
    this.drawDead();
    this.drawWeights();
    this.drawWrong();
  }

  drawAbout({ head }) {
    const parts = [];
    if (head?.model) parts.push(head.model, head.loss, head.optimizer);
    if (head?.n_parameters) parts.push(`${watchNumber(head.n_parameters)} parameters`);
    if (head?.batch_size) parts.push(`batches of ${watchNumber(head.batch_size)}`);
    if (head?.skipped) parts.push(`${watchNumber(head.skipped)} lines of its file could not be read`);
    watchSay(this.about, parts.join(" · "));
  }

  // The first choice is the first layer with gradients.
  offerLayers() {
    const names = [...this.layers.keys()];
    watchFillSelect(this.layerChoice, names.map((name) => [name, this.titleOf(name)]));
    this.layerLabel.hidden = names.length === 0;
    if (names.length && !names.includes(this.layer)) {
      const withWeights = names.filter((name) => this.layers.get(name).series.get("gradient_norm")?.x.length);
      this.chooseLayer(withWeights[0] ?? names[0]);
    }
    if (this.layer !== null) this.layerChoice.value = this.layer;
  }

  titleOf(name) {
    const { kind } = this.layers.get(name);
    return kind ? `${name} ${kind}` : name;
  }

  drawNorms(chart, key) {
    const curves = [];
    let slot = 0;
    for (const [name, { series }] of this.layers) {
      const { x = [], y = [] } = series.get(key) ?? {};
      if (x.length) curves.push({ row: this.titleOf(name), column: "norm", slot: slot++, x, y });
    }
    chart.draw(curves);
  }

  drawStrips() {
    const { body } = this.strips;
    if (this.paintedStrips === this.columns) return;
    this.paintedStrips = this.layers.size ? this.columns : null;
    const titled = [["outputs", "Outputs", "accent"], ["gradients", "Gradients", "derivative"]];
    const filled = titled.filter(([name]) => this.columns[name].length);
    if (!filled.length) {
      const nothing = this.layers.size ? "This layer has no histograms yet." : "No layer has been looked at yet.";
      body.replaceChildren(watchEmpty(nothing));
      return;
    }
    const parts = filled.map(([name, title, colour]) => this.strip(title, colour, this.columns[name]));
    body.replaceChildren(seeElement("div", { class: "see-watch-strips" }, ...parts));
  }

  strip(title, colour, columns) {
    const [low, high] = watchStripRange(columns);
    const canvas = seeElement("canvas", {
      class: "see-watch-strip",
      width: WATCH_STRIP_WIDTH,
      height: WATCH_STRIP_HEIGHT,
      role: "img",
      "aria-label": `${title}: a histogram a column, over the steps, darker where more values lie.`,
    });
    const [paper, ink] = [this.colours.rgb("paper"), this.colours.rgb(colour)];
    watchPaintStrip(canvas, columns, [low, high], paper, ink, this.colours.css("quiet"));
    const span = (text) => seeElement("span", {}, text);
    const ends = (kind, ...texts) => seeElement("div", { class: kind }, ...texts.map(span));
    const end = (value) => watchTick(Number(value.toPrecision(2)));
    const at = ([step]) => `step ${watchNumber(step)}`;
    const [first, last] = [columns[0], columns[columns.length - 1]];
    const short = (value) => watchNumber(value === null ? null : Number(value.toPrecision(3)));
    const caption = `${title} at step ${watchNumber(last[0])}: ${short(last[1])} to ${short(last[2])}`;
    return seeElement(
      "figure",
      { class: "see-watch-strip-figure" },
      seeElement("figcaption", {}, caption),
      ends("see-watch-strip-low-high", end(high), end(low)),
      canvas,
      ends("see-watch-strip-steps", at(first), at(last)),
    );
  }

  drawDead() {
    const rows = [];
    for (const [name, { series, units }] of this.layers) {
      const dead = watchLast(series.get("dead"));
      if (dead === undefined || dead === null || !units) continue;
      const bar = seeElement("span", { class: "see-watch-bar", "aria-hidden": "true" }, seeElement("span"));
      bar.firstChild.style.width = `${Math.min(100, (100 * dead) / units)}%`;
      const text = `${watchNumber(dead)} of ${watchNumber(units)}`;
      rows.push(
        seeElement(
          "tr",
          {},
          seeElement("th", { scope: "row" }, this.titleOf(name)),
          seeElement("td", { class: "see-watch-bar-cell" }, bar),
          seeElement("td", { class: "see-watch-figure" }, text),
        ),
      );
    }
    const nothing = watchEmpty("No layer whose units can die has been looked at yet.");
    const note = watchQuiet("A dead unit gives 0 for every sample that was looked at.");
    const attributes = { class: "see-watch-values", "aria-label": "Dead units" };
    const table = seeElement("table", attributes, seeElement("tbody", {}, ...rows));
    this.dead.body.replaceChildren(...(rows.length ? [table, note] : [nothing]));
  }

  drawWeights() {
    const weights = this.pictures?.weights;
    // Pictures come once an epoch: they are painted anew only then, or in new colours.
    if (this.paintedWeights === weights && weights !== undefined) return;
    this.paintedWeights = weights;
    if (!weights?.images.length) {
      const nothing = "No pictures of weights yet. Inputs that are images give some.";
      this.weights.body.replaceChildren(watchEmpty(nothing));
      return;
    }
    const [height, width] = weights.shape;
    const scale = Math.max(Math.abs(weights.low), Math.abs(weights.high)) || 1;
    const ends = ["negative", "paper", "positive"].map((name) => this.colours.rgb(name));
    const images = weights.images.map((image, unit) => {
      const canvas = watchImage(height, width, `Weights of unit ${unit + 1}`);
      const bytes = watchBytes(image);
      watchPaint(canvas, (pixel) => {
        const share = (weights.low + ((weights.high - weights.low) * bytes[pixel]) / 255) / scale;
        return watchMix(ends[1], share < 0 ? ends[0] : ends[2], Math.abs(share));
      });
      return canvas;
    });
    const caption = seeElement(
      "p",
      { class: "see-watch-quiet" },
      `Step ${watchNumber(this.pictures.step)}. From ${watchNumber(weights.low)} `,
      seeElement("span", { class: "see-watch-key see-watch-key-low", "aria-hidden": "true" }),
      ` to ${watchNumber(weights.high)} `,
      seeElement("span", { class: "see-watch-key see-watch-key-high", "aria-hidden": "true" }),
    );
    this.weights.body.replaceChildren(seeElement("div", { class: "see-watch-images" }, ...images), caption);
  }

  drawWrong() {
    const wrong = this.pictures?.misclassified;
    if (this.paintedWrong === wrong && wrong !== undefined) return;
    this.paintedWrong = wrong;
    if (!wrong) {
      this.wrong.body.replaceChildren(watchEmpty("No samples have been classified yet."));
      return;
    }
    const { step, n_wrong: nWrong, n_samples: nSamples, image_shape: shape } = this.pictures;
    const count = nWrong === null ? "" : `${watchNumber(nWrong)} of ${watchNumber(nSamples)} samples are wrong. `;
    const caption = watchQuiet(`${count}Step ${watchNumber(step)}.`);
    const ends = [this.colours.rgb("paper"), this.colours.rgb("ink")];
    const samples = wrong.map((sample) => watchSample(sample, shape, ends));
    this.wrong.body.replaceChildren(seeElement("ul", { class: "see-watch-samples" }, ...samples), caption);
  }

  recolour(run) {
    this.paintedWeights = this.paintedWrong = this.paintedStrips = NaN;
    for (const chart of this.charts) chart.recolour();
    this.draw(run);
  }

  stop() {
    for (const chart of this.charts) chart.stop();
  }
}

function watchSample({ index, true: truth, predicted, image }, shape, ends) {
  const texts = [
    seeElement("span", {}, "is ", seeElement("b", {}, truth)),
    seeElement("span", {}, "taken for ", seeElement("b", {}, predicted)),
  ];
  const item = seeElement("li", { title: `Sample ${index}` });
  if (image && shape) {
    const canvas = watchImage(...shape, `Sample ${index}`);
    const bytes = watchBytes(image);
    watchPaint(canvas, (pixel) => watchMix(ends[0], ends[1], bytes[pixel] / 255));
    item.append(canvas);
  } else texts.unshift(seeElement("span", { class: "see-watch-quiet" }, `sample ${index}`));
  item.append(...texts);
  return item;
}

// Options are made anew only where they differ, as a select that is open would close.
function watchFillSelect(select, options) {
  const key = JSON.stringify(options);
  if (select.dataset.options === key) return;
  select.dataset.options = key;
  select.replaceChildren(...options.map(([value, text]) => seeElement("option", { value }, text)));
}

// ----------------------------------------------------------------------------------------------- pixels

function watchImage(height, width, label) {
  return seeElement("canvas", { width, height, class: "see-watch-image", role: "img", "aria-label": label });
}

function watchMix(from, to, share) {
  return [0, 1, 2].map((i) => from[i] + (to[i] - from[i]) * share);
}

function watchPaint(canvas, colourOf) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  for (let pixel = 0; pixel < canvas.width * canvas.height; pixel += 1) {
    image.data.set(colourOf(pixel), 4 * pixel);
    image.data[4 * pixel + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

// The values that the strip shows: a few columns of far greater range do not flatten the others.
function watchStripRange(columns) {
  const sorted = (i) => columns.map((column) => column[i] ?? 0).sort((a, b) => a - b);
  const [lows, highs] = [sorted(1), sorted(2)];
  const low = lows[Math.floor(lows.length * 0.03)];
  const high = highs[Math.ceil(highs.length * 0.97) - 1];
  return high > low ? [low, high] : [low - 0.5, low + 0.5];
}

function watchPaintStrip(canvas, columns, [low, high], paper, colour, lineColour) {
  const { width, height } = canvas;
  const decoded = columns.map(([step, from, to, shades]) => ({ step, from, to, shades: watchBytes(shades) }));
  const [first, last] = [decoded[0].step, decoded[decoded.length - 1].step];
  const shown = [];
  for (let x = 0, column = 0; x < width; x += 1) {
    const step = first + ((last - first) * x) / Math.max(1, width - 1);
    while (column < decoded.length - 1 && decoded[column].step < step) column += 1;
    shown.push(decoded[column]);
  }
  // Of one value only: a line as thick as a few pixels.
  const thinnest = ((high - low) * 3) / height;
  watchPaint(canvas, (pixel) => {
    const { from, to, shades } = shown[pixel % width];
    if (from === null || to === null) return paper;
    const value = high - ((high - low) * (Math.floor(pixel / width) + 0.5)) / height;
    const range = Math.max(to - from, thinnest);
    const bin = Math.floor(((value - (from + to - range) / 2) / range) * shades.length);
    return bin >= 0 && bin < shades.length ? watchMix(paper, colour, (shades[bin] / 255) ** 0.75) : paper;
  });
  if (low < 0 && high > 0) {
    const context = canvas.getContext("2d");
    context.fillStyle = lineColour;
    context.globalAlpha = 0.4;
    context.fillRect(0, Math.round((height * high) / (high - low)), width, 1);
  }
}
