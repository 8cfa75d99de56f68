// The page to play with, and Python too, in the reader's browser. Nothing is loaded until the button
// is pressed. The whole was never run: NumPy for Pyodide is on Pyodide's CDN only, which no test of
// this project reaches. What was run: Pyodide 314.0.7 from npm with these wheels, up to NumPy; and all
// the rest with a stand-in for Pyodide whose Python was CPython.
(() => {
  const HOST = `
import nnfs_xp  # says at once if a part is missing
from nnfs_xp.see import front_end
from nnfs_xp.see.playing import PlaySession
from nnfs_xp.see.setups import Workshop
import json

_session = PlaySession(Workshop())

def _ask(text):
    query = json.loads(text)
    try:
        answer = _session.handle(query)
    except Exception:
        answer = {"error": front_end.FAILED}
    return front_end.as_json({**answer, "id": query.get("id")})

(_ask, front_end.module(), front_end.styles())
`;

  /** Python with NumPy and the wheels. */
  async function loadPython({ pyodide: address, wheels }, says) {
    says("Loading Pyodide. This may take half a minute.");
    const { loadPyodide } = await import(`${address}pyodide.mjs`);
    const python = await loadPyodide({ indexURL: address });
    says("Loading NumPy.");
    await python.loadPackage("numpy"); // a failure is logged, and not thrown
    if (!python.loadedPackages.numpy) throw new Error("NumPy could not be loaded.");
    says("Loading nnfs_xp.");
    for (const wheel of JSON.parse(wheels)) {
      const response = await fetch(wheel);
      if (!response.ok) throw new Error(`${wheel}: ${response.status}`);
      python.unpackArchive(await response.arrayBuffer(), "wheel");
    }
    return python;
  }

  /** A model as anywidget's front-end modules want it, which asks a Python function. */
  function modelOf(ask) {
    const listeners = new Set();
    return {
      send(query) {
        // Later, so that the page shows what was pressed; Python has this thread until it answers.
        setTimeout(() => {
          const answer = JSON.parse(ask(JSON.stringify(query)));
          for (const listener of listeners) listener(answer, []);
        });
      },
      on: (name, listener) => { if (name === "msg:custom") listeners.add(listener); },
      off: (name, listener) => { listeners.delete(listener); },
    };
  }

  async function show(box, says) {
    const python = await loadPython(box.dataset, says);
    says("Starting.");
    const [ask, source, styles] = python.runPython(HOST);
    const sheet = document.createElement("style");
    sheet.textContent = styles;
    document.head.append(sheet);
    const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const module = await import(address);
    URL.revokeObjectURL(address);
    const el = box.querySelector(".in-browser-stage");
    await module.default.render({ model: modelOf(ask), el });
    says("");
  }

  const box = document.querySelector(".in-browser");
  const button = box.querySelector("button");
  const status = box.querySelector(".in-browser-says");
  const says = (text) => { status.textContent = text; };
  if (location.protocol === "file:") {
    says("You opened this page as a file, and browsers let files load nothing. Run "
      + "“python -m http.server -d build/docs”, and open http://localhost:8000/seeing.html.");
    return;
  }
  button.hidden = false;
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await show(box, says);
      button.hidden = true;
    } catch (error) {
      button.disabled = false;
      console.error(error);
      // Of Python's errors the last line tells what happened.
      says(`That did not work: ${String(error.message ?? error).trim().split("\n").pop()}`);
    }
  });
})();
