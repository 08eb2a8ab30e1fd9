"""What is odd about somebody's files without being wrong: told once a kind, with how many and which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SHOWN = 5


@dataclass(frozen=True)
class Oddity:
    """One thing seen in one video: ``what``, and ``advice`` on what to do, are the same for every video it is seen in.

    ``detail`` is what was seen in this one.
    """

    what: str
    advice: str
    detail: str = ""


def describe_oddities(found: Iterable[tuple[str, Oddity]]) -> list[str]:
    """A line a kind, from pairs of video and oddity, in the order they came.

    >>> holes = Oddity("ids with holes", "number the objects 1, 2, ...", "1, 254")
    >>> describe_oddities([("sq", holes)])
    ['note: ids with holes in 1 video: sq (1, 254); number the objects 1, 2, ...']
    """
    kinds: dict[tuple[str, str], dict[str, str]] = {}
    for video, oddity in found:
        kinds.setdefault((oddity.what, oddity.advice), {}).setdefault(video, oddity.detail)
    lines = []
    for (what, advice), videos in kinds.items():
        shown = [f"{video} ({detail})" if detail else video for video, detail in list(videos.items())[:SHOWN]]
        more = f" and {len(videos) - SHOWN} more" if len(videos) > SHOWN else ""
        count = f"{len(videos)} video{'s' if len(videos) > 1 else ''}"
        lines.append(f"note: {what} in {count}: {', '.join(shown)}{more}; {advice}")
    return lines


def some(names: Iterable[str]) -> str:
    """The first few names, and how many more there are.

    >>> some(["a", "b", "c", "d", "e", "f", "g"])
    'a, b, c, d, e and 2 more'
    """
    listed = list(names)
    return ", ".join(listed[:SHOWN]) + (f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else "")
