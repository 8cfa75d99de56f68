// The page that watches trainings: polls the session (nnfs_xp/see/watching.py), keeps what it has answered
// by run, and draws it with the parts in watch_charts.js and watch_layers.js.

const WATCH_POLL = 700;
const WATCH_POLL_HIDDEN = 5000;
const WATCH_DRAW_WHILE_READING = 1500;
const WATCH_PATIENCE = 15000;
const WATCH_LONGEST_PAUSE = 30000;
const WATCH_CHOSEN_AT_FIRST = 8;
const WATCH_MOST_CHOSEN = 50;
const WATCH_MOST_DETAILED = 8;
const WATCH_FILTER_FROM = 10;

// The one function that see.js calls. Returns a function that stops the view.
function watchView(root, ask, first) {
  const view = new WatchView(root, ask, first);
  return () => view.stop();
}

function watchWithin(promise, milliseconds) {
  let timer;
  const tooLong = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("no answer")), milliseconds);
  });
  return Promise.race([promise, tooLong]).finally(() => clearTimeout(timer));
}

class WatchView {
  constructor(root, ask, first) {
    Object.assign(this, { root, ask, title: first.title ?? "", folder: first.folder ?? "" });
    this.runs = new Map(); // by name: { name, title, age, finished, chosen, slot, cursor, head, series }
    this.hasChosen = false; // by hand: from then on, new runs are not chosen for the user
    this.failures = 0;
    this.stopped = false;
    this.smoothing = 0.6;
    this.box = seeElement("div", { class: "see-watch" });
    root.append(this.box);
    this.colours = new WatchColours(this.box);
    this.build();
    this.takeList(first.runs ?? []);
    this.draw();
    this.listen();
    this.poll();
  }

  // ------------------------------------------------------------------------------------------- building

  build() {
    this.status = seeElement("p", { class: "see-watch-status", role: "status" });
    this.retry = seeElement("button", { type: "button", hidden: true, onclick: () => this.poke() }, "Try now");
    const title = seeElement("h1", {}, "Trainings");
    const folder = seeElement("p", { class: "see-watch-quiet see-watch-folder" }, this.folder);
    const head = seeElement("header", { class: "see-watch-head" }, title, folder, this.status, this.retry);
    this.nothing = seeElement(
      "p",
      { class: "see-watch-nothing" },
      "Nothing to see yet. No training has begun in this folder; the page shows the first one by itself.",
    );
    this.buildList();
    this.buildCharts();
    this.inside = new WatchInside(this.colours, () => this.poke());
    this.unchosen = seeElement("p", { class: "see-watch-nothing" }, "Choose a run to see its curves.");
    this.main = seeElement("div", { class: "see-watch-main" }, this.unchosen, this.curves, this.inside.element);
    this.body = seeElement("div", { class: "see-watch-body" }, this.list, this.main);
    this.box.append(head, this.nothing, this.body);
  }

  buildList() {
    this.filter = seeElement("input", {
      type: "search",
      placeholder: "Filter",
      "aria-label": "Filter the runs by name",
      oninput: () => this.arrange(),
    });
    this.order = seeElement("select", { "aria-label": "Order of the runs", onchange: () => this.sort() });
    watchFillSelect(this.order, [["new", "Newest first"], ["name", "By name"]]);
    const all = seeElement("button", { type: "button", onclick: () => this.chooseAll(true) }, "All");
    const none = seeElement("button", { type: "button", onclick: () => this.chooseAll(false) }, "None");
    this.items = seeElement("ul", { class: "see-watch-runs" });
    this.listNote = seeElement("p", { class: "see-watch-quiet", role: "status" });
    const tools = seeElement("div", { class: "see-watch-list-tools" }, this.order, all, none, this.filter);
    this.list = seeElement(
      "section",
      { class: "see-watch-list", "aria-label": "Runs" },
      seeElement("h2", {}, "Runs"),
      tools,
      this.items,
      this.listNote,
    );
  }

  buildCharts() {
    this.loss = new WatchChart(this.colours, {
      title: "Loss per step",
      place: "step",
      wide: true,
      empty: "No losses yet.",
    });
    const slider = seeElement("input", { type: "range", min: "0", max: "0.98", step: "0.02", value: this.smoothing });
    slider.addEventListener("input", () => {
      this.smoothing = Number(slider.value);
      this.drawLoss();
    });
    this.loss.tools.append(seeElement("label", {}, "Smoothing ", slider));
    this.loss.addLogSwitch();
    this.rate = new WatchChart(this.colours, {
      title: "Learning rate",
      place: "step",
      empty: "The learning rate has not been looked at yet.",
    });
    this.rate.addLogSwitch();
    this.figures = new Map();
    this.noFigures = watchQuiet("The figures of epochs come when the first epoch has ended.");
    this.cards = seeElement("div", { class: "see-watch-cards" }, this.loss.element, this.rate.element);
    this.curves = seeElement("section", {}, seeElement("h2", {}, "Curves"), this.cards, this.noFigures);
  }

  listen() {
    this.onVisibility = () => !document.hidden && this.poke();
    document.addEventListener("visibilitychange", this.onVisibility);
    this.onTheme = () => {
      this.colours.forget();
      for (const chart of [this.loss, this.rate, ...this.figures.values()]) chart.recolour();
      this.inside.recolour(this.runs.get(this.inside.run));
    };
    this.theme = matchMedia("(prefers-color-scheme: dark)");
    this.theme.addEventListener("change", this.onTheme);
    // JupyterLab and marimo change the theme by attributes of the page.
    this.themes = new MutationObserver(this.onTheme);
    const attributes = { attributes: true, attributeFilter: ["class", "data-theme", "data-jp-theme-light"] };
    for (const element of [document.documentElement, document.body]) this.themes.observe(element, attributes);
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.onVisibility);
    this.theme.removeEventListener("change", this.onTheme);
    this.themes.disconnect();
    for (const chart of [this.loss, this.rate, ...this.figures.values(), this.inside]) chart.stop();
    this.box.remove();
  }

  // -------------------------------------------------------------------------------------------- polling

  get chosen() {
    return [...this.runs.values()].filter((run) => run.chosen);
  }

  query() {
    const since = {};
    for (const run of this.chosen) if (run.cursor) since[run.name] = run.cursor;
    const names = this.chosen.map((run) => run.name);
    return { do: "look", runs: names, since, inside: this.inside.query() };
  }

  // Asks at once; while an answer is awaited, as soon as that is there.
  poke() {
    if (this.asking) this.again = true;
    else {
      clearTimeout(this.timer);
      this.poll();
    }
  }

  async poll() {
    this.asking = true;
    this.again = false;
    let answer = null;
    let problem = "The host does not answer.";
    try {
      answer = await watchWithin(this.ask(this.query()), WATCH_PATIENCE);
      if (answer?.error) problem = answer.error;
    } catch {
      answer = null;
    }
    this.asking = false;
    if (this.stopped) return;
    if (answer === null || answer === undefined || answer.error) this.fail(problem);
    else this.succeed(answer);
  }

  fail(problem) {
    this.failures += 1;
    const pause = Math.min(WATCH_LONGEST_PAUSE, WATCH_POLL * 2 ** this.failures);
    watchSay(this.status, `${problem} Next try in ${Math.round(pause / 1000)} s.`);
    this.status.classList.add("see-watch-trouble");
    this.retry.hidden = false;
    this.timer = setTimeout(() => this.poll(), this.again ? 0 : pause);
  }

  succeed(answer) {
    this.failures = 0;
    const hadFocus = document.activeElement === this.retry;
    this.status.classList.remove("see-watch-trouble");
    this.retry.hidden = true;
    if (hadFocus) this.filter.focus();
    // The timer first: a fault in a drawing must not end the polling.
    const pause = document.hidden ? WATCH_POLL_HIDDEN : WATCH_POLL;
    this.timer = setTimeout(() => this.poll(), answer.more || this.again ? 0 : pause);
    this.take(answer);
  }

  take(answer) {
    const listChanged = this.takeList(answer.runs);
    for (const [name, news] of Object.entries(answer.news)) {
      const run = this.runs.get(name);
      if (!run) continue;
      if (news.whole) run.series = new Map();
      watchMergeAll(run.series, news.series);
      run.head = news.head;
      run.cursor = news.cursor;
    }
    this.inside.take(answer.inside);
    this.isStale ||= listChanged || Boolean(answer.inside) || Object.keys(answer.news).length > 0;
    // While many files are read, drawing each time would take longer than the reading.
    const isBusy = answer.more && performance.now() - this.drawnAt < WATCH_DRAW_WHILE_READING;
    if (this.isStale && !isBusy) this.draw();
    this.sayStates();
    watchSay(this.status, answer.more ? "Reading the files …" : this.summary());
    // Runs that were just chosen for the user are asked for at once.
    if (listChanged) this.poke();
  }

  summary() {
    const running = [...this.runs.values()].filter((run) => !run.finished && run.age < WATCH_RUNNING).length;
    if (!this.runs.size) return "Waiting for a training to begin.";
    return running ? `${running} running` : "No run is running.";
  }

  // --------------------------------------------------------------------------------------- list of runs

  // Whether runs came or went.
  takeList(list) {
    let changed = false;
    const names = new Set(list.map(({ name }) => name));
    for (const [name, run] of this.runs) {
      if (names.has(name)) continue;
      run.item.remove();
      this.runs.delete(name);
      changed = true;
    }
    for (const { name, age, finished } of list) {
      const run = this.runs.get(name);
      if (run) Object.assign(run, { age, finished });
      else {
        changed = true;
        this.addRun(name, age, finished);
      }
    }
    if (changed) {
      if (!this.hasChosen) this.chooseNewest();
      this.sort();
    }
    return changed;
  }

  addRun(name, age, finished) {
    const title = name === "." ? `${this.title}/` : name; // no other run has a slash at its end
    const run = { name, title, age, finished, chosen: false, slot: null, cursor: null, head: null, series: new Map() };
    run.check = seeElement("input", { type: "checkbox", onchange: () => this.choose(run, run.check.checked) });
    run.swatch = seeElement("span");
    run.state = seeElement("span", { class: "see-watch-quiet see-watch-run-state" });
    const text = seeElement("span", { class: "see-watch-run-name", title }, title);
    const label = seeElement("label", {}, run.check, run.swatch, text, run.state);
    run.item = seeElement("li", {}, label);
    this.runs.set(name, run);
    this.setChosen(run, false);
  }

  chooseNewest() {
    const newest = [...this.runs.values()].sort((a, b) => a.age - b.age).slice(0, WATCH_CHOSEN_AT_FIRST);
    for (const run of newest) if (this.chosen.length < WATCH_CHOSEN_AT_FIRST) this.setChosen(run, true);
  }

  // A chosen run keeps its colour until it is no longer chosen.
  setChosen(run, on) {
    if (on && !run.chosen) {
      const taken = new Set(this.chosen.map(({ slot }) => slot));
      run.slot = [...Array(WATCH_MOST_CHOSEN).keys()].find((slot) => !taken.has(slot)) ?? 0;
    }
    run.chosen = on;
    if (!on) run.slot = null;
    run.check.checked = on;
    const swatch = watchSwatch(run.slot);
    run.swatch.replaceWith(swatch);
    run.swatch = swatch;
  }

  choose(run, on) {
    this.hasChosen = true;
    this.setChosen(run, on && this.chosen.length < WATCH_MOST_CHOSEN);
    this.noteChoice(on && !run.chosen);
    this.draw();
    this.poke();
  }

  chooseAll(on) {
    this.hasChosen = true;
    const shown = this.sorted().filter((run) => !run.item.hidden);
    for (const run of shown) this.setChosen(run, on && (run.chosen || this.chosen.length < WATCH_MOST_CHOSEN));
    this.noteChoice(on && shown.some((run) => !run.chosen));
    this.draw();
    this.poke();
  }

  noteChoice(tooMany) {
    watchSay(this.listNote, tooMany ? `At most ${WATCH_MOST_CHOSEN} runs are shown at once.` : "");
  }

  sorted() {
    const byName = (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true });
    // Runs that are all running would change places at each look.
    const freshness = (run) => (run.age < WATCH_RUNNING ? 0 : run.age);
    const byAge = (a, b) => freshness(a) - freshness(b) || byName(a, b);
    return [...this.runs.values()].sort(this.order.value === "name" ? byName : byAge);
  }

  // Only when runs come or the user asks, so that the list lies still.
  sort() {
    const sorted = this.sorted();
    this.runs = new Map(sorted.map((run) => [run.name, run])); // the order of all tables, too
    this.items.append(...sorted.map((run) => run.item));
    this.arrange();
  }

  arrange() {
    const wanted = this.filter.value.toLowerCase();
    for (const run of this.runs.values()) run.item.hidden = !run.title.toLowerCase().includes(wanted);
    this.filter.hidden = this.runs.size <= WATCH_FILTER_FROM && !wanted;
    this.sayStates();
  }

  sayStates() {
    for (const run of this.runs.values()) {
      watchSay(run.state, watchState(run));
      run.item.classList.toggle("see-watch-running", !run.finished && run.age < WATCH_RUNNING);
    }
  }

  // -------------------------------------------------------------------------------------------- drawing

  draw() {
    this.isStale = false;
    this.drawnAt = performance.now();
    const chosen = this.chosen;
    this.nothing.hidden = this.runs.size > 0;
    this.body.hidden = !this.runs.size;
    this.unchosen.hidden = chosen.length > 0;
    this.curves.hidden = !chosen.length;
    this.inside.offer(chosen);
    this.drawLoss();
    this.drawRate();
    this.drawFigures();
    this.inside.draw(this.runs.get(this.inside.run));
  }

  drawLoss() {
    const curves = [];
    const marks = [];
    const notes = [];
    const chosen = this.chosen;
    for (const run of chosen) {
      const loss = run.series.get("loss");
      if (!loss) continue;
      const { title: row, slot } = run;
      const curve = { row, slot, column: "loss", last: run.head.last_loss };
      const raw = { ...curve, x: loss.x, y: loss.y };
      const smooth = { ...curve, x: loss.at, y: watchSmooth(loss.mean, this.smoothing) };
      // Many runs side by side: their means alone, which also lie at the same places.
      if (chosen.length > WATCH_MOST_DETAILED) curves.push(smooth);
      else if (this.smoothing === 0) curves.push(raw);
      else curves.push({ ...raw, pale: true }, smooth);
      if (run.head.nan_at === null) continue;
      marks.push({ at: run.head.nan_at, slot });
      const note = `${row}: the loss became NaN at step ${watchNumber(run.head.nan_at)}.`;
      notes.push(seeElement("p", { class: "see-watch-trouble" }, note));
    }
    this.loss.notes.replaceChildren(...notes);
    this.loss.draw(curves, marks);
  }

  drawRate() {
    const curves = this.chosen.map((run) => {
      const { x = [], y = [] } = run.series.get("learning_rate") ?? {};
      return { row: run.title, column: "rate", slot: run.slot, x, y };
    });
    this.rate.draw(curves);
  }

  // A card for each figure; what is called val_… goes with the figure without.
  drawFigures() {
    const names = new Set();
    for (const run of this.chosen) {
      for (const key of run.series.keys()) {
        if (key.startsWith("figure/")) names.add(key.slice("figure/".length).replace(/^val_/, ""));
      }
    }
    names.delete("learning_rate");
    this.noFigures.hidden = names.size > 0;
    for (const [name, chart] of this.figures) {
      if (names.has(name)) continue;
      chart.stop();
      chart.element.remove();
      this.figures.delete(name);
    }
    for (const name of names) {
      if (!this.figures.has(name)) this.addFigure(name);
      this.figures.get(name).draw(this.figureCurves(name));
    }
  }

  addFigure(name) {
    const title = `${watchTitle(name)} by epoch`;
    const chart = new WatchChart(this.colours, { title, place: "epoch", empty: "No epoch has ended yet." });
    if (name === "loss") chart.addLogSwitch();
    this.figures.set(name, chart);
    this.rate.element.before(chart.element);
  }

  figureCurves(name) {
    return this.chosen.flatMap((run) => {
      const curve = (key, column, dash) => {
        const { x = [], y = [] } = run.series.get(`figure/${key}`) ?? {};
        return { row: run.title, column, slot: run.slot, x, y, dash };
      };
      return [curve(name, "training", null), curve(`val_${name}`, "validation", [5, 4])];
    });
  }
}
