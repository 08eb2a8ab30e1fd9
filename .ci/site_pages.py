"""What mkdocs does beside mkdocs.yml: pages from outside docs/, stars in the navigation, links that leave docs/."""

from __future__ import annotations

import fnmatch
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import reference

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\]\((?!\w+:|#)(?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
FENCE = re.compile(r"^(```\w+) \w+$", re.MULTILINE)
OPEN_BOARD = ("index.md", "leaderboard.md")
"""Pages that begin with a link to the leaderboard, which lies beside them in the built site only."""
BOARD_LINK = '<a href="leaderboard/index.html">Open the leaderboard</a>'
SHOWN = re.compile(r"^<!-- file: (?:tests/third_party/)?(\S+) -->\n```(\w+)$", re.MULTILINE)


def pages() -> dict[str, str]:
    """Every page of the site -> the file in the repository it is made of."""
    ours = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    methods = sorted((ROOT / "plugins").glob("*/README.md"))
    return {
        **{page: f"docs/{page}" for page in sorted(ours)},
        **{
            f"methods/{path.parent.name.removeprefix('harness_')}.md": f"plugins/{path.parent.name}/README.md"
            for path in methods
        },
        "contributing.md": "CONTRIBUTING.md",
        "changes.md": "CHANGELOG.md",
    }


def expand(nav: list[Any], known: list[str]) -> list[Any]:
    """The navigation with every ``folder/*.md`` replaced by the pages it fits, in order of their names."""
    entries: list[Any] = []
    for entry in nav:
        title, below = next(iter(entry.items())) if isinstance(entry, dict) else (None, entry)
        if isinstance(below, list):
            below = expand(below, known)
        elif "*" in below:
            below = sorted(fnmatch.filter(known, below))
        entries.append({title: below} if title else below)
    return entries


def for_site(markdown: str, page: str, made_of: dict[str, str], repository: str) -> str:
    """The text of a page as mkdocs wants it: links to pages or the repository, fences of one word or with a title."""
    page_of = {source: name for name, source in made_of.items()}
    folder = posixpath.dirname(made_of[page])

    def link(match: re.Match[str]) -> str:
        source = posixpath.normpath(posixpath.join(folder, match["path"]))
        anchor = match["anchor"] or ""
        if source in page_of:
            return f"]({posixpath.relpath(page_of[source], posixpath.dirname(page) or '.')}{anchor})"
        if source.startswith("docs/assets/"):
            return f"]({posixpath.relpath(source.removeprefix('docs/'), posixpath.dirname(page) or '.')}{anchor})"
        if (ROOT / source).exists():
            return f"]({repository}/tree/main/{source}{anchor})"
        return match[0]

    return SHOWN.sub(r'```\2 title="\1"', FENCE.sub(r"\1", LINK.sub(link, markdown)))


def on_config(config: Any) -> Any:
    """Fill in the stars."""
    config.nav = expand(config.nav, list(pages()))
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made of files outside docs/."""
    from mkdocs.structure.files import File

    for page, source in pages().items():
        if files.get_file_from_path(page) is None:
            files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_post_build(config: Any) -> None:
    """Lay the leaderboard's pages beside those of the docs."""
    from harness.catalog import Catalog
    from harness.leaderboard.records import read_papers, read_records
    from harness.pages.leaderboard import write_leaderboard

    board = ROOT / "leaderboard"
    records = read_records(board / "records", Catalog.load())
    write_leaderboard(records, read_papers(board / "published"), Path(config.site_dir) / "leaderboard")


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Put links and fences right."""
    text = reference.for_site(markdown) if page.file.src_uri == "reference.md" else markdown
    if page.file.src_uri in OPEN_BOARD:
        text = text.replace("\n\n", f"\n\n{BOARD_LINK}\n\n", 1)
    return for_site(text, page.file.src_uri, pages(), config.extra["repository"])
