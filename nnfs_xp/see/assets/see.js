// The front end's only export, in the form that anywidget asks for. A host gives a model with
// `send(query)` and `on("msg:custom", callback)`; the view is chosen by what Python answers first.

// Between ticks of steps and epochs: 1, 2, 5, 10, …
const SEE_WHOLE_STEPS = [...Array(15).keys()].flatMap((power) => [1, 2, 5].map((n) => n * 10 ** power));

/** A function that sends a query and promises the answer. */
function seeAsker(model) {
  const waiting = new Map();
  // Views of one widget hear each other's answers: their numbers are not to be mistaken.
  let next = Math.floor(Math.random() * 2 ** 40);
  model.on("msg:custom", (answer) => {
    const resolve = waiting.get(answer.id);
    waiting.delete(answer.id);
    if (resolve) resolve(answer);
  });
  return (query) =>
    new Promise((resolve) => {
      const id = next++;
      waiting.set(id, resolve);
      model.send({ ...query, id });
    });
}

/** An element with properties, attributes, listeners and children; texts become text nodes. */
function seeElement(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== "list" && name !== "form") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A colour of the theme as a canvas can take it, which knows neither variables nor light-dark(). */
function seeColor(element, name) {
  const probe = seeElement("span", { hidden: true });
  probe.style.color = `var(${name})`;
  element.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** A recording asked as if it were Python: it knows its own steps only. */
function seeRecorded(answers) {
  let at = 0;
  return async (query) => {
    if (query.do === "rewind") at = 0;
    else if (query.do === "back") at = Math.max(0, at - 1);
    else if (query.do === "step") at = Math.min(at + (query.n ?? 1), answers.length - 1);
    else if (query.do !== "open") return { error: "This is a recording: it can only be played." };
    const losses = answers.slice(0, at).map((each) => each.loss);
    return { ...answers[at], have: 0, losses, ended: at === answers.length - 1 };
  };
}

async function seeRender({ model, el }) {
  const root = seeElement("div", { className: "see" });
  el.append(root);
  const ask = seeAsker(model);
  let stop = () => {};
  let gone = false;
  const start = async () => {
    stop();
    root.replaceChildren();
    const first = await ask({ do: "open" });
    if (gone) return;
    if (first.error) {
      const again = seeElement("button", { type: "button", onclick: start }, "Try again");
      root.append(seeElement("p", { role: "alert", className: "see-alert" }, first.error, again));
    } else if (first.view === "watch") {
      stop = watchView(root, ask, first);
    } else if (first.view === "recording") {
      const replay = seeRecorded(first.answers);
      stop = playView(root, replay, await replay({ do: "open" }), { recorded: true });
    } else {
      stop = playView(root, ask, first, { recorded: false, restart: start });
    }
  };
  await start();
  return () => {
    gone = true;
    stop();
  };
}

export default { render: seeRender };
