"""The reporter of pages: where they lie, and what it returns."""

from harness.reporters.site import Site


def test_the_pages_lie_in_site_and_every_one_is_named(make_record, tmp_path):
    written = Site().report([make_record({"a": [(0.5, 0.5)]})], tmp_path)
    assert tmp_path / "site" / "index.html" in written
    assert set(written) == set((tmp_path / "site").rglob("*.html"))
