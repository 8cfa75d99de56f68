"""What a source that cannot be compiled raises."""

from __future__ import annotations


class CompileException(Exception):  # noqa: N818 - CuPy's name
    """The compiler's messages, and what it was given."""

    def __init__(
        self, msg: str, source: str, name: str, options: tuple[str, ...], backend: str = "nvrtc"
    ) -> None:
        super().__init__(msg)
        self._msg, self.source, self.name = msg, source, name
        self.options, self.backend = options, backend

    def get_message(self) -> str:
        return self._msg
