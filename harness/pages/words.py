"""How figures, clocks and names are put into words on the pages; every text is one line without hidden signs."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping

from harness.api.records import Conditions, Interval, RunRecord
from harness.ranking.speeds import has_throughput

NONE = "–"
LONGEST = 160
"""Characters of a text on a page; a record may hold 2000."""
_SAFE = re.compile(r"[^A-Za-z0-9_-]+")
_SHORT = {"J-mean": "J", "F-mean": "F", "T-mean": "T"}


def plain(text: object, longest: int = LONGEST) -> str:
    """One line of visible text: control, reordering and invisible characters become spaces; HTML is escaped later.

    >>> plain("a\\x1b[31m\\n b")
    'a [31m b'
    """
    kept = (" " if unicodedata.category(sign)[0] == "C" or sign in "\u2028\u2029" else sign for sign in str(text))
    line = " ".join("".join(kept).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def slug(name: str) -> str:
    """A file's name for any name: the plain letters of it, and a digest where that is not the whole of it.

    >>> slug("bmx-trees"), slug("a/b").startswith("a-b-")
    ('bmx-trees', True)
    """
    kept = _SAFE.sub("-", name)[:60].strip("-")
    return kept if kept == name else f"{kept}-{hashlib.sha256(name.encode()).hexdigest()[:10]}".lstrip("-")


def https(address: str) -> str:
    """The address where it is one that a link may lead to, else nothing: a record's ``javascript:`` is none.

    >>> https("https://example.org/a"), https(" javascript:alert(1)"), https("https://a b")
    ('https://example.org/a', '', '')
    """
    return address if re.fullmatch(r"https://[A-Za-z0-9.-]+(/[!-~]*)?", address) else ""


def head(column: str) -> str:
    """A figure's heading in a table."""
    return _SHORT.get(column, column)


def percent(value: float | None) -> str:
    """A fraction as per cent, to one decimal."""
    return NONE if value is None else f"{100 * value:.1f}"


def interval(figure: Interval | None) -> str:
    """``68.1 to 76.0``, or nothing where there is none."""
    if figure is None or figure.value is None or figure.low is None or figure.high is None:
        return ""
    return f"{100 * figure.low:.1f} to {100 * figure.high:.1f}"


def number(value: float | None, unit: str = "", digits: int = 3) -> str:
    """Up to so many digits that count, with its unit."""
    if value is None:
        return NONE
    told = f"{value:.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"
    return f"{told} {unit}".rstrip()


def amount(value: int | None) -> str:
    """``11.2 M``: how many, shortly.

    >>> amount(11_234_567), amount(950), amount(None)
    ('11.2 M', '950', '–')
    """
    if value is None:
        return NONE
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g} {letter}"
    return str(value)


def name_speed(record: RunRecord) -> str:
    """Which figure its speed is."""
    return "throughput" if has_throughput(record) else "steady"


def causality(record: RunRecord) -> str:
    """When a method may look ahead, and how far."""
    ahead = record.plugin.lookahead
    return f"{record.plugin.causality} +{ahead}" if ahead else record.plugin.causality


def describe_conditions(same: Iterable[Conditions]) -> list[tuple[str, str]]:
    """The conditions of one group by name; what may differ inside a group is listed with all its values."""
    known = list(same)
    first = known[0]
    each: Mapping[str, Iterable[str]] = {
        "torch": (c.torch for c in known),
        "CUDA": (c.cuda for c in known),
        "driver": (c.driver for c in known),
        "Python": (c.python for c in known),
        "platform": (c.platform for c in known),
        "executor": (c.executor for c in known),
        "objects a video": (", ".join(map(str, c.objects)) for c in known),
        "load before": (f"{c.load_average:.1f}" for c in known if c.load_average is not None),
        "cores": (str(c.cores) for c in known if c.cores is not None),
        "clock": (f"{c.clock_mhz:.0f} MHz" for c in known if c.clock_mhz is not None),
        "power": (f"{c.power_watts:.0f} W" for c in known if c.power_watts is not None),
    }
    facts = [
        ("device", first.device),
        ("threads", str(first.threads or "")),
        ("precision", first.precision + (", TF32" if first.tf32 else "")),
        ("compiled", "yes" if first.compiled else "no"),
        ("batch", str(first.batch)),
        ("resolutions", ", ".join(first.resolutions)),
        ("videos at a time", str(first.workers)),
        *((name, " or ".join(sorted({v for v in values if v}))) for name, values in each.items()),
    ]
    return [(name, plain(value)) for name, value in facts if value]
