"""Points of growth that are measured already, a file each, so that an interrupted command goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.api.errors import HarnessError
from harness.benching.clip import Clip
from harness.benching.methods import MethodRow, catalog_with
from harness.catalog import Catalog
from harness.files import digest_of, read_json, write_atomically
from harness.planning.plan import resolve
from harness.planning.request import Request

LARGEST = 1 << 24
KeyOf = Callable[[Request, Clip], str]


def key_with(catalog: Catalog) -> KeyOf:
    """What a point depends on: the clip, and all that a run's key holds (code, weights, config, device, threads)."""

    def key_of(request: Request, clip: Clip) -> str:
        plan = resolve(request, catalog_with(clip, catalog))
        return digest_of([plan.key, plan.samples[0].digest()])

    return key_of


class KeptPoints:
    """A folder of measured rows with the seconds each took; what failed is not kept."""

    def __init__(self, folder: Path, key_of: KeyOf, *, again: bool = False) -> None:
        self._folder, self._key_of, self._again = folder, key_of, again

    def find(self, request: Request, clip: Clip) -> tuple[MethodRow, float] | None:
        """The row measured before under the same key, and how long it took; None where there is none."""
        path = None if self._again else self._path(request, clip)
        if path is None or not path.is_file():
            return None
        try:
            told = read_json(path, largest=LARGEST)
            return MethodRow.model_validate(told["row"]), float(told["seconds"])
        except (HarnessError, ValueError, KeyError, TypeError):  # damaged: measured anew
            return None

    def keep(self, request: Request, clip: Clip, row: MethodRow, seconds: float) -> None:
        """Write one row down; one without a clock is left."""
        path = self._path(request, clip)
        if path is not None and row.timing is not None and not row.problem:
            path.parent.mkdir(parents=True, exist_ok=True)
            content = f'{{"seconds": {seconds:.3f}, "row": {row.model_dump_json()}}}\n'
            write_atomically(path, content.encode())

    def _path(self, request: Request, clip: Clip) -> Path | None:
        try:
            key = self._key_of(request, clip)
        except HarnessError:  # what cannot be planned cannot be measured, and says so then
            return None
        shape = f"{clip.width}x{clip.height}x{clip.frames}-{clip.objects}"
        return self._folder / f"{request.plugin}-{shape}-{key[:16]}.json"
