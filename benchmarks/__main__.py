"""The command: ``python -m benchmarks WHAT [ARGUMENTS]``, or nothing for what there is."""

from __future__ import annotations

import importlib
import sys

WHAT = (
    "steps",
    "epoch",
    "goal",
    "footprint",
    "threads",
    "import_time",
    "accuracy",
    "checkpoint",
    "display",
)


def main() -> None:
    """Run one benchmark, or list them."""
    if len(sys.argv) < 2 or sys.argv[1] not in WHAT:
        for name in WHAT:
            print(f"{name:12} {importlib.import_module(f'benchmarks.{name}').__doc__}".strip())
        raise SystemExit(0 if len(sys.argv) < 2 else 2)
    module = importlib.import_module(f"benchmarks.{sys.argv.pop(1)}")
    module.main()


if __name__ == "__main__":
    main()
