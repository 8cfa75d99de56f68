"""Fuzzes what reads files, with atheris: ``nox -s fuzz -- [RUNS]``.

Usage: python tests/fuzz_files.py RUNS [model|book|checkpoint|idx|csv|table-csv|table-parquet|
table-xlsx|table-zip|table-json]...

The targets of tables need the extra ``tables``; where it is missing they are left out, and that is
said.

Each target gets so many cases, in a process of its own: guided by the coverage of the library,
mutated half of the time by structure, with the checksum made to fit. Any exception but the
documented one, a case that takes 20 seconds, or more than 1 GiB of memory ends it with an error.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from random import Random

TABLES = ("table-csv", "table-parquet", "table-xlsx", "table-zip", "table-json")
TARGETS = ("model", "book", "checkpoint", "idx", "csv", *TABLES)
OF_TABLES = ("skrub", "openpyxl", "polars", "hypothesis", "pytest")
"""What the targets of tables need."""

SECONDS, MEBIBYTES = 20, 1024
CSV = b"a,b\n1,2\n-3e5,.5\n\n4, 5 \n"


def fuzz(target: str, runs: int, folder: Path) -> None:
    """Fuzz one target in this process, which libFuzzer ends."""
    import atheris

    with atheris.instrument_imports(include=["nnfs_xp"]):
        import fuzzed

        if target in TABLES:  # which are imported when they are needed
            import nnfs_xp.tables  # noqa: F401
    import forged

    corpus, scratch = folder / "corpus", folder / "scratch"
    corpus.mkdir()
    scratch.mkdir()
    path = folder / {"idx": "file.gz", "csv": "file.csv"}.get(target, "file")
    seeds = {
        **{name: lambda: [table_seeds()[target.partition("-")[2]]] for name in TABLES},
        "model": lambda: [fuzzed.real_model(folder)],
        "book": lambda: [fuzzed.real_book_model(folder)],
        "checkpoint": lambda: fuzzed.real_checkpoints(scratch),
        "idx": lambda: [b"\x00\x00\x08\x02" + bytes([0, 0, 0, 2, 0, 0, 0, 3]) + bytes(6)],
        "csv": lambda: [CSV],
    }[target]()
    for number, seed in enumerate(seeds):
        (corpus / f"{number}").write_bytes(seed)
    read = {
        "model": fuzzed.load_model,
        "book": fuzzed.load_book_model,
        **dict.fromkeys(TABLES, fuzzed.read_table),
    }.get(target, fuzzed.read_data)
    resumer = fuzzed.Resumer(scratch) if target == "checkpoint" else None
    taken = cases = 0

    def run(content: bytes) -> None:
        nonlocal taken, cases
        cases += 1
        if resumer is not None:
            taken += resumer.resume(content)
        else:
            # Of an IDX file, what is in the compression is fuzzed, and at times the file as such.
            packed = target == "idx" and len(content) % 8 > 0
            path.write_bytes(gzip.compress(content, 1) if packed else content)
            taken += read(path)
        if cases == runs:
            print(f"{target}: {cases:,} cases, {taken:,} of them files that are read", flush=True)

    def mutate(content: bytes, most: int, seed: int) -> bytes:
        if target in ("idx", "csv", *TABLES):
            return atheris.Mutate(content, most)
        random = Random(seed)
        # What was kept for the new ways that it took is mostly refused early: begin anew at times.
        source = random.choice(seeds) if random.random() < 0.5 else content
        if random.random() < 0.5:
            return forged.forge(source, random)[:most]
        mutated = atheris.Mutate(source, most)
        return forged.sign_again(mutated) if random.random() < 0.5 else mutated

    options = [f"-runs={runs}", f"-timeout={SECONDS}", f"-rss_limit_mb={MEBIBYTES}"]
    options += ["-max_len=20000", "-len_control=0", "-print_final_stats=1", "-verbosity=0"]
    options += [f"-artifact_prefix={Path.cwd()}/fuzz-{target}-"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], run, custom_mutator=mutate)
    atheris.Fuzz()


def table_seeds() -> dict[str, bytes]:
    """A small file of each kind, as tests/ecosystem/test_table_files.py damages them."""
    sys.path.insert(0, str(Path(__file__).parent / "ecosystem"))
    from test_table_files import SEEDS, zipped

    return {**SEEDS, "zip": zipped({"t.csv": SEEDS["csv"]})}


def main() -> None:
    """Start a process for each target."""
    if sys.argv[1] == "--in":
        fuzz(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
        return
    failed, targets = [], sys.argv[2:] or TARGETS
    if not sys.argv[2:] and not all(map(find_spec, OF_TABLES)):
        targets = [target for target in targets if target not in TABLES]
        print(f"files of tables are left out: they need {', '.join(OF_TABLES)}", flush=True)
    for target in targets:
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            command = [sys.executable, __file__, "--in", target, sys.argv[1], folder]
            status = subprocess.run(command, check=False).returncode
            print(f"{target}: status {status} after {time.monotonic() - start:.0f} s", flush=True)
            failed += [target] if status else []
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}; the files are in fuzz-*")


if __name__ == "__main__":
    main()
