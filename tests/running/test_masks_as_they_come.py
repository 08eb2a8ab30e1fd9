"""A mask lies on the disk before the next one is asked for, so the length of a video is nothing that memory holds."""

from harness.benching.clip import Clip
from harness.benching.methods import catalog_with
from harness.catalog import Catalog
from harness.planning.plan import resolve
from harness.planning.request import Request
from harness.running.runner import run


def test_every_mask_is_written_before_the_next_one_is_made(tmp_path):
    catalog = catalog_with(Clip(16, 29, 12, 1), Catalog.load())
    plan = resolve(Request(plugin="copyfirst", bench="clip"), catalog)
    seen = []

    def look(video, done, length):
        seen.append((done, len(list(tmp_path.rglob("*.png")))))

    run(plan, tmp_path / "run", catalog, progress=look)
    assert [done for done, _ in seen] == list(range(1, 13))
    # The frame that is told of is written, or will be before the next: nothing is held back.
    assert all(done - 1 <= written <= done for done, written in seen), seen
