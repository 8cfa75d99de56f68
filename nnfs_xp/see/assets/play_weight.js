// Of the view to play with: one weight from near.

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
    this.hint = seeElement("p", { className: "see-hint" }, "Choose a parameter, or click a weight in the picture.");
    const key = "The curve is the loss for other values of this weight. The red line has the gradient as its slope.";
    this.legend = seeElement("p", { className: "see-hint" }, key);
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
      this.setter, this.facts, this.curve.box, this.legend, this.parts, this.rule,
    );
    this.panel = playPanel("One weight from near", chooser, this.hint, this.found, this.lens);
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
    const at = { row: Number(this.row.value), column: Number(this.column.value) };
    if (this.name.value) this.look(this.name.value, at);
  }

  /** Take the last of the values that a drag gives, one query at a time. */
  async set(text) {
    const value = Number(text);
    if (text === "" || !Number.isFinite(value) || !this.chosen) return;
    this.wanted = value;
    if (this.busy) return;
    this.busy = true;
    const { key } = this.chosen;
    // Another weight, or network, may come meanwhile: it is not to get this one's values.
    while (this.wanted !== undefined && this.chosen?.key === key) {
      const next = this.wanted;
      this.wanted = undefined;
      await this.act({ do: "set", key, value: next });
    }
    this.wanted = undefined;
    this.busy = false;
  }

  show(chosen) {
    this.chosen = chosen;
    this.found.hidden = !chosen;
    this.hint.hidden = Boolean(chosen);
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
    this.curve.box.hidden = this.legend.hidden = !chosen.curve;
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
    const { inputs, dvalues, parts, penalty, elsewhere } = chosen.parts;
    const within = (value) => (value < 0 ? `(${playNumber(value)})` : playNumber(value));
    const few = parts.slice(0, 4).map((part, n) =>
      inputs ? `${within(inputs[n])} · ${within(dvalues[n])}` : within(part),
    );
    const sum = parts.some((part) => part === null) ? null : parts.reduce((total, part) => total + part, 0);
    const what = inputs ? "input times derivative, summed" : "derivatives, summed";
    const more = parts.length > 4 ? ` + … (${parts.length} samples)` : "";
    const said = [`The gradient is ${what} over the samples: ${few.join(" + ")}${more} = ${playNumber(sum)}`];
    if (penalty) said.push(`${playNumber(penalty)} from the penalty`);
    if (elsewhere) said.push(`${playNumber(elsewhere)} through layers that share the weight`);
    this.parts.textContent = said.join(", and ");
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
