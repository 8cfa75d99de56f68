"""What was asked of capturing streams, and how it is done again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cupy.cuda.memory import Block
    from cupy.cuda.stream import Stream


class Capture:
    """The work that one capture has recorded so far, of all streams that take part in it."""

    def __init__(self, origin: Stream) -> None:
        self.origin = origin
        self.streams = {origin}
        self.unjoined: set[Stream] = set()
        self.work: list[Callable[[], object]] = []
        self.blocks: dict[int, Block] = {}
        self.invalid = False

    def record(self, stream: Stream, work: Callable[[], object], blocks: Iterable[Block]) -> None:
        self.work.append(work)
        self.blocks.update((id(block), block) for block in blocks)
        if stream is not self.origin:
            self.unjoined.add(stream)


class Graph:
    """The recorded work, to be launched any number of times.

    A launch first asserts that the memory it works on is still there and belongs to nobody else:
    a real GPU would silently overwrite it.
    """

    def __init__(self, capture: Capture) -> None:
        self._work = capture.work
        self._blocks = {block: block.generation for block in capture.blocks.values()}

    def launch(self, stream: Stream | None = None) -> None:
        from cupy.cuda.stream import submit

        submit(self._run, self._blocks, stream)

    def upload(self, stream: Stream | None = None) -> None:
        """Nothing to do beforehand here."""

    def _run(self) -> None:
        for block, generation in self._blocks.items():
            block.assert_usable("a CUDA graph")
            assert block.state == "free" or block.generation == generation, (
                f"memory of a CUDA graph at {block.ptr:#x} was given to another array since the "
                "capture; give each graph a pool of its own and use that for nothing else"
            )
        for work in self._work:
            work()
