"""The house of a set of pages: templates that escape every text, and the styles and scripts beside what is written."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api.errors import UsageError
from harness.files import name_refusals, refuse_links
from harness.pages import words
from harness.version import __version__

if TYPE_CHECKING:
    import jinja2

HERE = Path(__file__).parent
LONGEST = 2000
"""Characters; as many as a text of a record may have."""
MARK = ".harness-pages"
"""The file by which a folder is known to hold pages of ours, and may be replaced."""
STATIC = ("site.css", "site.js", "plots.js", "viewer.js")


class PageFolder:
    """A folder of pages, built beside its place and put there when all of them are written; a context manager.

    UsageError where the place holds something else. ``written`` are the files of the pages, once they are in place.
    """

    def __init__(self, place: Path, title: str) -> None:
        self.place = place
        self.building = place.with_name(f".{place.name}.{os.getpid()}.building")
        self.title = title
        self.written: list[Path] = []
        self._environment = make_environment()

    def __enter__(self) -> PageFolder:
        refuse_links(self.place)
        if (
            self.place.exists()
            and not (self.place / MARK).is_file()
            and (not self.place.is_dir() or _has_files(self.place))
        ):
            raise UsageError(
                f"{self.place} holds something else than pages of ours; they would take its place",
                hint="choose another --out",
            )
        with name_refusals(self.building):
            shutil.rmtree(self.building, ignore_errors=True)
            (self.building / "static").mkdir(parents=True)
            (self.building / MARK).write_text(f"{__version__}\n", encoding="utf-8")
            self._lay_static()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                with name_refusals(self.place):
                    shutil.rmtree(self.place, ignore_errors=True)
                    self.building.replace(self.place)
        finally:
            shutil.rmtree(self.building, ignore_errors=True)

    def _lay_static(self) -> None:
        for name in STATIC:
            shutil.copyfile(HERE / "static" / name, self.building / "static" / name)
        for path in sorted((HERE / "vendor").iterdir()):
            if path.suffix in (".js", ".LICENSE"):
                shutil.copyfile(path, self.building / "static" / path.name)

    def write(self, page: str, template: str, title: str, **told: Any) -> str:
        """Write one page by its template; ``page`` is its path in the folder, which is returned."""
        top = "../" * page.count("/")
        text = self._environment.get_template(template).render(
            **told, title=title, site=self.title, top=top, page=page, version=__version__
        )
        self.put(page, text.encode())
        return page

    def put(self, page: str, content: bytes) -> None:
        """Write a file of any kind."""
        path = self.building / page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.written.append(self.place / page)


def _has_files(folder: Path) -> bool:
    return any(folder.iterdir())


def make_environment() -> jinja2.Environment:
    """Templates that escape whatever is put into them; jinja2 is imported here."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters.update(
        plain=words.plain,
        percent=words.percent,
        interval=words.interval,
        number=words.number,
        amount=words.amount,
        head=words.head,
        https=words.https,
        data=embed_json,
    )
    return environment


def _finalize(value: Any) -> Any:
    """Every text that is put into a template, without signs that steer or reorder, whether its template asks or not."""
    from markupsafe import Markup

    return words.plain(value, LONGEST) if isinstance(value, str) and not isinstance(value, Markup) else value


def embed_json(value: Mapping[str, Any] | list[Any]) -> Any:
    """JSON that can stand in a ``script`` element: nothing in it can end the element or begin a comment.

    >>> str(embed_json({"a": "</script><!--"}))
    '{"a":"\\\\u003c/script\\\\u003e\\\\u003c!--"}'
    """
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
