"""What is odd about somebody's files without being wrong: told once a kind, with how many and which."""

from __future__ import annotations

from collections.abc import Iterable

from harness.api.dataclass import dataclass

SHOWN = 5
MOST_IDS = 32
"""More values than this in one mask are grey levels: no benchmark numbers so many objects."""
VOID = 255


@dataclass(frozen=True)
class Oddity:
    """One thing seen in a video: ``what``, and ``advice`` on what to do, are the same wherever it is seen.

    ``detail`` is what was seen in this video. ``is_of_set``: it is about the whole set, whichever video has it.
    """

    what: str
    advice: str
    detail: str = ""
    is_of_set: bool = False


def describe_oddities(found: Iterable[tuple[str, Oddity]]) -> list[str]:
    """A line a kind, from pairs of video and oddity, in the order they came.

    >>> holes = Oddity("ids with holes", "number the objects 1, 2, ...", "1, 254")
    >>> describe_oddities([("sq", holes)])
    ['note: ids with holes in 1 video: sq (1, 254); number the objects 1, 2, ...']
    """
    kinds: dict[tuple[str, str, bool], dict[str, str]] = {}
    for video, oddity in found:
        kind = (oddity.what, oddity.advice, oddity.is_of_set)
        kinds.setdefault(kind, {}).setdefault(video, oddity.detail)
    lines = []
    for (what, advice, is_of_set), videos in kinds.items():
        if is_of_set:
            lines.append(f"note: {what}: {next(iter(videos.values()))}; {advice}")
            continue
        told = some(f"{video} ({detail})" if detail else video for video, detail in videos.items())
        lines.append(f"note: {what} in {len(videos)} video{'s' if len(videos) > 1 else ''}: {told}; {advice}")
    return lines


def some(names: Iterable[str]) -> str:
    """The first few names, and how many more there are.

    >>> some(["a", "b", "c", "d", "e", "f", "g"])
    'a, b, c, d, e and 2 more'
    """
    listed = list(names)
    return ", ".join(listed[:SHOWN]) + (f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else "")


def find_holes(ids: set[int]) -> list[Oddity]:
    """Ids of a first mask that leave some out: DAVIS 2017 counts objects by the highest."""
    objects = sorted(ids - {0, VOID})
    if not objects or len(objects) == objects[-1] or len(objects) > MOST_IDS:
        return []
    return [
        Oddity(
            "ids with holes in the first mask",
            "rules that count objects by the highest id, as DAVIS 2017 does, also score those between, which have no "
            "pixel: number the objects 1, 2, ...",
            some(map(str, objects)),
        )
    ]


def find_void_alone(ids: set[int]) -> list[Oddity]:
    """A first mask that holds void and no object, as a mask of 0 and 255 does by a rule of ids."""
    if ids - {0} != {VOID}:
        return []
    return [Oddity("0 and 255 alone in the first mask", "255 is void and no object: write 1, 2, ... for the objects")]


def find_grey_levels(ids: set[int]) -> list[Oddity]:
    """Values of a mask that are no ids but levels of grey."""
    objects = ids - {0, VOID}
    if len(objects) <= MOST_IDS:
        return []
    return [
        Oddity(
            "grey levels in place of ids",
            "a mask holds ids; cut grey levels first, as mask > 127",
            f"{len(objects)} values from {min(objects)} to {max(objects)}",
        )
    ]
