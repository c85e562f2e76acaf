"""Did you mean: the nearest known word to a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

CUTOFF = 0.6
LONGEST = 80


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most like `word`, None when none is near.

    Case, hyphens, underscores and dots do not count. Ties go to the word that sorts first, so the answer does not
    depend on the order of `known`.
    """
    if len(word) > LONGEST:
        return None
    plain = _plain(word)
    spellings: dict[str, str] = {}
    for candidate in sorted(known):
        spellings.setdefault(_plain(candidate), candidate)
    if plain in spellings:
        return spellings[plain]
    matches = difflib.get_close_matches(plain, spellings, n=1, cutoff=CUTOFF)
    return spellings[matches[0]] if matches else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the hint `did you mean X?`, empty when no known word is near."""
    found = nearest(word, known)
    return f"did you mean {found}?" if found is not None and found != word else ""


def _plain(word: str) -> str:
    return word.lower().replace("-", "").replace("_", "").replace(".", "")
