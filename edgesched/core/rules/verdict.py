"""What an evaluation says: true, false, unknown with a reason, or error."""

from __future__ import annotations

from collections.abc import Callable


class Unknown(Exception):  # noqa: N818  # not an error: what is asked for is not known
    """A value that is not known inside an evaluation; `why` makes the reason when somebody asks."""

    def __init__(self, why: Callable[[], str]) -> None:
        super().__init__()
        self.why = why


class Verdict:
    """`value`: True, False, or None when unknown or wrong. `error`: whether the evaluation failed.

    `reason`: why it is unknown or what went wrong, made on demand; empty for true and false.
    """

    __slots__ = ("_why", "error", "value")

    def __init__(self, value: bool | None, why: Callable[[], str] | None = None, *, error: bool = False) -> None:
        self.value = value
        self.error = error
        self._why = why

    @property
    def reason(self) -> str:
        """See the class."""
        return self._why() if self._why is not None else ""

    @property
    def word(self) -> str:
        """`true`, `false`, `unknown` or `error`."""
        if self.value is None:
            return "error" if self.error else "unknown"
        return "true" if self.value else "false"

    def __repr__(self) -> str:
        return f"Verdict({self.word}{': ' + self.reason if self.reason else ''})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Verdict):
            return NotImplemented
        return (self.value, self.error, self.reason) == (other.value, other.error, other.reason)

    def __hash__(self) -> int:
        return hash((self.value, self.error))


TRUE = Verdict(True)
FALSE = Verdict(False)
