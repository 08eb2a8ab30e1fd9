"""The servers that score predictions on hidden truth: what each takes, and how its zip is laid out."""

from __future__ import annotations

from harness.api.dataclass import dataclass
from harness.api.errors import UsageError
from harness.api.mask_files import ids_in
from harness.api.tasks import TASKS, TaskName
from harness.api.video import Sample


@dataclass(frozen=True)
class Server:
    """One server: the task and benchmarks it scores, and the folder of its zip that holds the videos' folders."""

    name: str
    title: str
    url: str
    task: TaskName
    benchmarks: tuple[str, ...]
    folder: str = ""

    def frames(self, sample: Sample) -> list[int]:
        """The frames it wants masks of: every one, or where the benchmark says so only those at the annotated rate.

        YouTube-VOS names frames before the first prompt too; nothing is asked of them, and the sample lacks them.
        """
        asked = sample.extra.get("submitted_frames", sample.frame_names)
        return [frame for frame, name in enumerate(sample.frame_names) if name in asked]

    def ids(self, sample: Sample) -> set[int]:
        """The ids it takes beside 0: those of the prompts, or the highest number of proposals."""
        if sample.read_prompt is not None and TASKS[self.task].prompted:
            prompts = [ids_in(sample.read_prompt(frame)) for frame in sample.prompt_frames]
            return set().union(*prompts) - {0, 255}
        return set(range(1, (TASKS[self.task].max_id or 0) + 1))


SERVERS: dict[str, Server] = {
    server.name: server
    for server in (
        # "The folders containing all the frames for each sequence should be placed directly inside the zip without any
        # subfolder": evaluation_codalab.py of the DAVIS servers, as codalab/codalab-competitions issue 2709 shows it.
        Server(
            "davis17",
            "DAVIS 2017 semi-supervised, test-dev",
            "https://codalab.lisn.upsaclay.fr/competitions/6812",
            "one-shot",
            ("davis17-test-dev",),
        ),
        Server(
            "davis17-unsup",
            "DAVIS 2019 unsupervised, test-dev",
            "https://competitions.codalab.org/competitions/20515",
            "instance-zvos",
            ("davis17-unsup-test-dev",),
        ),
        # A top folder Annotations: and only the 6 fps frames of a dense run: as yoxu515/aot-benchmark@0498a7c
        # zips them (networks/managers/evaluator.py).
        Server(
            "youtube-vos",
            "YouTube-VOS 2018, validation",
            "https://codalab.lisn.upsaclay.fr/competitions/7685",
            "one-shot",
            ("youtube-vos18-val", "youtube-vos18-val-all-frames"),
            folder="Annotations/",
        ),
        # "named as results.json, and compressed without any subfolder": the competition's page, kept in TrackEval.
        Server(
            "youtube-vis",
            "YouTube-VIS 2019, validation",
            "https://competitions.codalab.org/competitions/20128",
            "vis",
            ("youtube-vis19-val",),
        ),
    )
}


def find_server(name: str) -> Server:
    """The server of that name; UsageError with a did-you-mean."""
    if name in SERVERS:
        return SERVERS[name]
    raise UsageError.unknown("server", name, SERVERS)
