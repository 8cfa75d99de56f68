"""The command: ``python -m benchmarks WHAT [ARGUMENTS]``, or nothing for what there is."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

WHAT = (
    "steps",
    "epoch",
    "goal",
    "footprint",
    "threads",
    "convolution",
    "import_time",
    "accuracy",
    "estimators",
    "checkpoint",
    "sources",
    "display",
    "watching",
    "book",
    "tables",
    "growth",
    "large_table",
    "distributed",
    "gpu_check",
)


def main() -> None:
    """Run one benchmark, or list them."""
    if len(sys.argv) < 2 or sys.argv[1] not in WHAT:
        for name in WHAT:
            source = Path(__file__).with_name(f"{name}.py").read_text()
            print(f"{name:12} {ast.get_docstring(ast.parse(source))}\n")
        raise SystemExit(0 if len(sys.argv) < 2 else 2)
    module = importlib.import_module(f"benchmarks.{sys.argv.pop(1)}")
    module.main()


if __name__ == "__main__":
    main()
