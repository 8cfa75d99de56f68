// The view to play with: the network, and forward, back, update; a weight from near; where the
// network decides. Python works every number out and draws the picture; here texts are exchanged.

const PLAY_PACES = {
  frames: { label: "frame by frame", wait: 900 },
  steps: { label: "step by step", wait: 220 },
  fast: { label: "10 steps at once", wait: 120 },
};

/** What a picture of a plane shows. */
function playDotsSay(answer) {
  if (!answer.ground?.image) return "";
  return `Sample ${answer.row} has a ring. The fuller the colour behind it, the surer the network.`;
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
  let run = 0; // counted up with each Play and Pause, so that what an earlier one began ends
  let playing = false;
  let lensAt = null;
  let last = Promise.resolve();

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
  const back = button("‹ Back", () => { pause(); backward(); }, "One frame back");
  const onward = button("Forward ›", () => { pause(); forward(); }, "One frame forward");
  const update = button(recorded ? "Next step" : "Update", () => { pause(); act({ do: "step" }); }, "One step of the optimizer");
  const play = button("Play", () => (playing ? pause() : start()));
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
  const imageSays = seeElement("p", { className: "see-hint" });
  const groundPanel = playPanel("Samples", ground.box, image, imageSays);
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
    run += 1;
    playing = false;
    play.textContent = "Play";
  }

  function start() {
    run += 1;
    playing = true;
    play.textContent = "Pause";
    tick(run);
  }

  async function tick(mine) {
    const mode = pace.value;
    const began = performance.now();
    const ended = mode === "frames" ? await forward() : await act({ do: "step", n: mode === "fast" ? 10 : 1 });
    if (mine !== run) return;
    if (ended) pause();
    else setTimeout(() => mine === run && tick(mine), Math.max(0, PLAY_PACES[mode].wait - (performance.now() - began)));
  }

  /** One frame back; in a recording also to the end of the step before. */
  async function backward() {
    if (picture.frame > 0) reveal(picture.frame - 1);
    else if (recorded && state.step > 0) await act({ do: "back" }, Infinity);
  }

  function reveal(frame) {
    picture.reveal(frame);
    picture.follow();
  }

  /** One frame on, and behind the last one an update; whether that was the end. */
  async function forward() {
    if (picture.frame < picture.frames.length - 1) {
      reveal(picture.frame + 1);
      return false;
    }
    if (recorded && state.ended) return true;
    return act({ do: "step" }, 0);
  }

  /** Show the numbers around a square of a heat map. */
  async function look(name, at) {
    if (recorded || state.drawn_as !== "fields") return;
    const answer = await ask({ do: "lens", name, ...at });
    if (answer.error) return;
    lensAt = [name, at];
    weight.showLens(answer);
  }

  /** Ask when all before is answered, and show the state that comes; whether it can go no further. */
  function act(query, frame = null) {
    last = last.then(() => actNow(query, frame));
    return last;
  }

  async function actNow(query, frame) {
    const answer = await ask({ ...query, layout: state.layout, have: losses.length });
    alert.hidden = !answer.error;
    if (answer.error) {
      pause();
      alert.textContent = answer.error;
      if (answer.lost && restart) alert.append(" ", button("Start again", restart));
      return true;
    }
    const isNew = query.do === "set up";
    if (isNew) showForm(answer);
    show(answer, isNew ? 0 : frame ?? picture.frame);
    if (lensAt) look(...lensAt);
    return Boolean(recorded && answer.ended);
  }

  function showForm({ choices, setup }) {
    const submit = (wanted) => { pause(); act({ do: "set up", ...wanted }); };
    formBox.replaceChildren(playForm(choices, setup, submit));
  }

  function show(answer, frame) {
    const isNew = Boolean(answer.setup);
    Object.assign(state, answer);
    losses = [...losses.slice(0, answer.have), ...answer.losses];
    const stays = picture.frame === picture.frames.length - 1 && frame === picture.frame;
    picture.show(answer);
    picture.reveal(stays ? Infinity : frame);
    if (frame === 0 || frame === Infinity) picture.follow();
    if (isNew) {
      ground.set(answer.points);
      groundPanel.hidden = !answer.points && !answer.image;
      if (!recorded) {
        weight.setShapes(answer.shapes);
        weight.showLens(null);
        lensAt = null;
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
    imageSays.textContent = answer.image ? image.alt : playDotsSay(answer);
    if (!recorded) {
      weight.show(answer.chosen);
      picture.mark(answer.chosen?.key);
    }
  }

  if (!recorded) showForm(first);
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
