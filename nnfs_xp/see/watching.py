"""The session behind the page that watches trainings."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from pathlib import Path
from typing import Any

from nnfs_xp.see.run_digest import RunDigest
from nnfs_xp.see.run_files import WatchReader, find_runs, is_finished

MOST_CHOSEN = 50
# A query reads no longer than this, in seconds, and says that there is more.
_READING = 0.3
_SEARCH_EVERY = 2.0
# About 4 MB of JSON.
_MOST_POINTS = 150_000

_log = logging.getLogger(__name__)


class _Run:
    """A run that is looked at: its file and what was read from it."""

    def __init__(self, path: Path) -> None:
        self._file = WatchReader(path)
        self._begin()

    def _begin(self) -> None:
        self._restarts = self._file.n_restarts
        self.digest = RunDigest()
        self._n_refused = 0
        # Tells cursors apart that belong to another file, or to another server's reading of it.
        self._token = secrets.token_hex(4)

    @property
    def n_skipped(self) -> int:
        return self._file.n_skipped + self._n_refused

    @property
    def cursor(self) -> str:
        return f"{self._token}:{self.digest.revision}"

    def read(self, until: float) -> bool:
        """Read on until the end of the file or some time; whether there may be more."""
        for rows in self._file.chunks():
            if self._file.n_restarts > self._restarts:
                self._begin()
            for row in rows:
                try:
                    self.digest.take(row)
                except (KeyError, TypeError, ValueError, AttributeError):
                    self._n_refused += 1
            if time.monotonic() > until:
                return True
        if self._file.n_restarts > self._restarts:
            self._begin()
        return False

    def since(self, cursor: object) -> int:
        """The revision of a cursor; -1, so that all is new, of one that is not of this run."""
        if not isinstance(cursor, str):
            return -1
        token, _, revision = cursor.partition(":")
        if token != self._token or not (revision.isascii() and revision.isdigit()):
            return -1
        since = int(revision[:16])
        return since if self.digest.whole <= since <= self.digest.revision else -1


class WatchSession:
    """Answers about the watched trainings in a folder, of which it only reads the files.

    Parameters
    ----------
    folder : Path
        One that `Watch` writes to, or one above several of these. It need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)
        self._paths: dict[str, Path] = {}
        self._searched = float("-inf")
        self._finished: dict[str, tuple[tuple[int, int], bool]] = {}
        self._runs: dict[str, _Run] = {}
        self._lock = threading.Lock()

    def handle(self, query: dict[str, Any]) -> dict[str, Any]:
        """Answer a query; never raises.

        Parameters
        ----------
        query : dict
            ``{"do": "open"}``; or ``{"do": "look", "runs": [name, …], "since": {name: cursor},
            "inside": {"run": name, "since": cursor, "layer": name, "layer_since": cursor}}``, all
            but the verb optional.

        Returns
        -------
        dict
            To ``open``: ``view``, ``folder``, ``title`` and ``runs``. To ``look``: ``runs``, each
            with ``name``, ``age`` of its last row in seconds and ``finished``; ``news`` by name,
            of runs that have any; ``inside``; and ``more``, where the next query will find more at
            once. ``error`` if the query cannot be understood.
        """
        if not isinstance(query, dict):
            return {"error": "A query must be an object."}
        try:
            with self._lock:
                if query.get("do") == "open":
                    return {
                        "view": "watch",
                        "folder": _plain(self._folder),
                        "title": _plain(self._folder.absolute().name),
                        "runs": self._list(),
                    }
                if query.get("do") == "look":
                    return self._look(query)
        except Exception:
            # What a host does with an exception nobody knows; a page can say that it has no answer.
            _log.exception("A query about the trainings in %s failed", self._folder)
            return {"error": "The trainings could not be read. The log says why."}
        return {"error": "`do` must be open or look."}

    def _list(self) -> list[dict[str, Any]]:
        if not self._paths or time.monotonic() - self._searched > _SEARCH_EVERY:
            self._paths = find_runs(self._folder)
            self._searched = time.monotonic()
        runs = []
        for name, path in self._paths.items():
            try:
                status = path.lstat()
            except OSError:
                continue
            age = max(0.0, time.time() - status.st_mtime)
            stamp = (status.st_size, status.st_mtime_ns)
            if self._finished.get(name, (None, False))[0] != stamp:
                self._finished[name] = (stamp, is_finished(path))
            finished = self._finished[name][1]
            runs.append({"name": name, "age": round(age, 1), "finished": finished})
        return runs

    def _look(self, query: dict[str, Any]) -> dict[str, Any]:
        names, since, inside = query.get("runs", []), query.get("since", {}), query.get("inside")
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            return {"error": "`runs` must be a list of names."}
        if not isinstance(since, dict) or not isinstance(inside, dict | None):
            return {"error": "`since` and `inside` must be objects."}
        answer: dict[str, Any] = {"runs": self._list(), "news": {}, "more": False}
        until = time.monotonic() + _READING
        points = 0
        for name in list(dict.fromkeys(names))[:MOST_CHOSEN]:
            # Only what the search has found is read, whatever a query names.
            if name not in self._paths:
                continue
            if time.monotonic() > until or points > _MOST_POINTS:
                answer["more"] = True
                break
            run = self._run(name)
            answer["more"] |= run.read(until)
            news = self._news(run, since.get(name))
            if news is not None:
                answer["news"][name] = news
                points += sum(len(series["x"]) for series in news["series"].values())
        if inside is not None:
            answer["inside"] = self._inside(inside)
        return answer

    def _run(self, name: str) -> _Run:
        run = self._runs.pop(name, None) or _Run(self._paths[name])
        self._runs[name] = run
        while len(self._runs) > MOST_CHOSEN + 10:
            # The run that was looked at longest ago.
            del self._runs[next(iter(self._runs))]
        return run

    @staticmethod
    def _news(run: _Run, cursor: object) -> dict[str, Any] | None:
        since = run.since(cursor)
        if since == run.digest.revision:
            return None
        return {
            "cursor": run.cursor,
            "whole": since < 0,
            "head": run.digest.head() | {"skipped": run.n_skipped},
            "series": run.digest.curves(since),
        }

    def _inside(self, query: dict[str, Any]) -> dict[str, Any] | None:
        """The layers of a run that is looked at; None where it is not, or has nothing new."""
        run, layer = self._runs.get(str(query.get("run"))), query.get("layer")
        if run is None:
            return None
        since, layer_since = run.since(query.get("since")), run.since(query.get("layer_since"))
        if since == layer_since == run.digest.revision:
            return None
        return {
            "run": query["run"],
            "layer": layer,
            "cursor": run.cursor,
            "whole": since < 0,
            "layer_whole": layer_since < 0,
            **run.digest.inside(since),
            "strips": run.digest.strips(layer, layer_since) if isinstance(layer, str) else {},
        }


def _plain(path: Path | str) -> str:
    return str(path).encode("utf-8", "replace").decode("utf-8")
