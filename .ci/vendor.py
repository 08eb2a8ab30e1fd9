"""Fetches again what harness/pages/vendor ships of others, from npm, and refuses what has another checksum.

``python .ci/vendor.py`` needs npm. A new version: change vendor.toml, run it, and put in the checksum it names.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

VENDOR = Path(__file__).resolve().parents[1] / "harness" / "pages" / "vendor"


def read_member(archive: Path, name: str) -> bytes:
    """One file of a packed npm package."""
    with tarfile.open(archive) as packed:
        file = packed.extractfile(f"package/{name}")
        if file is None:
            raise SystemExit(f"{archive.name} holds no {name}")
        return file.read()


def main() -> int:
    """Write every file and licence; 1 where a checksum is another."""
    wrong = 0
    for entry in tomllib.loads((VENDOR / "vendor.toml").read_text(encoding="utf-8"))["file"]:
        with tempfile.TemporaryDirectory() as folder:
            command = ["npm", "pack", "--silent", f"{entry['package']}@{entry['version']}"]
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            archive = next(Path(folder).glob("*.tgz"))
            content, licence = read_member(archive, entry["path"]), read_member(archive, "LICENSE")
        found = hashlib.sha256(content).hexdigest()
        if found != entry["sha256"]:
            print(f"{entry['name']}: SHA-256 {found}, expected {entry['sha256']}")
            wrong = 1
            continue
        (VENDOR / entry["name"]).write_bytes(content)
        (VENDOR / entry["licence_file"]).write_bytes(licence)
        print(f"{entry['name']}: {entry['package']} {entry['version']}, {len(content)} bytes")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
