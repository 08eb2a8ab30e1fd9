"""What several test files need: the third-party plugin as an installed distribution."""

from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent / "third_party" / "vos-colours"


@pytest.fixture
def third_party_path(tmp_path: Path) -> str:
    """A PYTHONPATH on which vos-colours is installed beside the harness, without touching the environment."""
    site = tmp_path / "third-party-site"
    info = site / "vos_colours-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "vos_colours").symlink_to(EXAMPLE / "vos_colours")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vos-colours\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness]\ncolours = vos_colours\n")
    return str(site)
