"""The loop behind average precision over many draws; ``harness.ranking.precision`` says what it computes."""

from __future__ import annotations

from typing import no_type_check

from harness.api.machine_code import Loops, as_array

LOOPS = Loops(__file__)


@LOOPS.entry("f8*, i8*, u1*, u1*, f8*, f8*, f8, i8, i8, i8, i8, f8*, f8* -> i8")
@no_type_check
def fill_parts(weights, video, true, false, positives, recalls, least, draws, videos, detections, steps, room, parts):
    """Write the part of each detection in the precision of each draw: its falling precision times recalls it reaches.

    ``weights`` is (draws, videos), ``parts`` (draws, detections) and all zeros, ``video``, ``true`` and ``false``
    (detections,), ``positives`` (draws,), ``recalls`` (steps,), ``room`` (detections,); ``least`` is added where it is
    divided. Precision only falls from a true detection to the next, and recall rises at true ones alone: of others only
    the first has a part, that of recall 0.
    """
    weights, video = as_array(weights, (draws, videos)), as_array(video, (detections,))
    true, false = as_array(true, (detections,)), as_array(false, (detections,))
    positives, recalls = as_array(positives, (draws,)), as_array(recalls, (steps,))
    room, parts = as_array(room, (detections,)), as_array(parts, (draws, detections))
    for draw in range(draws):
        found = wrong = 0.0
        reached = 0
        for at in range(detections):
            count = weights[draw, video[at]]
            wrong += count * false[at]
            if true[at] or at == 0:
                found += count * true[at]
                room[at] = found / (wrong + found + least)
                before = reached
                recall = found / positives[draw]
                while reached < steps and recalls[reached] <= recall:
                    reached += 1
                parts[draw, at] = reached - before
        highest = 0.0
        for back in range(detections):
            at = detections - 1 - back
            if true[at] or at == 0:
                highest = max(highest, room[at])
                parts[draw, at] *= highest
    return 0
