"""Run a method on generated video from Python, score masks made by other means, and look at both records.

python examples/run_and_score.py [FOLDER]: no data, no GPU, no download, seconds.
"""

import sys
from pathlib import Path

import numpy as np

import harness
from harness.api.mask_files import read_mask, write_mask

BENCH, TASK = "mini-small", "one-shot"


def main(folder: Path) -> None:
    """Run the baseline, move its masks a pixel a frame to the right, and print what each is worth."""
    baseline = harness.run("copyfirst", BENCH, task=TASK, out=folder / "copyfirst")
    baseline.raise_failures()
    drifting = harness.score(drift(baseline.masks, folder / "drifting"), BENCH, task=TASK)

    for name, outcome in {"copyfirst": baseline, "drifting": drifting}.items():
        figure = outcome.record.scores["j_and_f"]["J&F"]
        print(f"{name:10} J&F {figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]")
    for before, after in zip(baseline.record.videos, drifting.record.videos, strict=True):
        worst = min(before.objects, key=lambda id_: after.objects[id_]["J-mean"] - before.objects[id_]["J-mean"])
        print(f"{before.video}: object {worst} loses most")
    print(f"copyfirst: {baseline.record.timing.model.fps:.0f} frames a second on {baseline.record.conditions.device}")

    try:
        harness.run("copyfirst", "mini-smal")
    except harness.HarnessError as error:
        print(f"exit code {error.exit_code} on the command line: {error.message}")


def drift(masks: Path, out: Path) -> Path:
    """The masks of each video, frame t moved t pixels to the right: as if your own program had written them."""
    for path in sorted(masks.glob("*/*.png")):
        frame = int(path.stem)
        mask = read_mask(path)
        moved = np.zeros_like(mask)
        moved[:, frame:] = mask[:, : mask.shape[1] - frame]
        place = out / path.parent.name
        place.mkdir(parents=True, exist_ok=True)
        write_mask(place / path.name, moved)
    return out


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/example"))
