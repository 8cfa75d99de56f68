// The page as a host of the front end: a model that asks the server, one query after the other.
import widget from "./see.js";

const numbers = crypto.getRandomValues(new Uint32Array(4));
const tab = Array.from(numbers, (number) => number.toString(16).padStart(8, "0")).join("");
const headers = { "Content-Type": "application/json" };
const listeners = new Set();
let last = Promise.resolve();

const answerTo = (query) =>
  fetch(`ask/${tab}`, { method: "POST", headers, body: JSON.stringify(query) })
    .then((response) => response.json())
    .catch(() => ({ error: "Cannot reach Python. Check that it still runs." }));
const tell = (answer) => listeners.forEach((listener) => listener(answer, []));
const model = {
  send(query) {
    const ask = async () => tell({ ...(await answerTo(query)), id: query.id });
    last = last.then(ask).catch(reportError); // and go on with the next query
  },
  on: (name, listener) => { if (name === "msg:custom") listeners.add(listener); },
  off: (name, listener) => { listeners.delete(listener); },
};

widget.render({ model, el: document.getElementById("see") });
