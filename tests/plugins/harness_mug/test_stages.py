"""What the time of each card is told apart by, on three frames."""

from dataclasses import replace

import pytest
import torch

from harness import Prompts, Stopwatch
from harness_mug import method
from harness_mug.config import INSTANCE_PRESETS, OBJECT_PRESETS, PRESETS
from harness_mug.instances import method as instances
from harness_mug.one_shot import method as one_shot


def stages_of(masks):
    """How often each stage ran while the masks were made."""
    watch = Stopwatch("cpu")
    with watch.lap():
        list(masks)
    return {name: count for name, (count, _) in watch.read().stages.items()}


@pytest.mark.parametrize("architecture", ["small", "code"])
def test_objects(toy, architecture):
    """Three references and three frames."""
    config = replace(OBJECT_PRESETS["smoke"], untrained_architecture=architecture, crf=True)
    found = stages_of(method.build(toy.context(config)).segment_object(toy.video_of(toy.squares(3)[0])))
    assert found == {"embed": 3 + 3, "attend": 3, "read out": 2 * 3, "CRF": 3}  # logits, and then pixels


def test_objects_without_the_crf_or_the_references_leave_their_stages_out(toy):
    config = replace(OBJECT_PRESETS["smoke"], source="frames")
    found = stages_of(method.build(toy.context(config)).segment_object(toy.video_of(toy.squares(3)[0])))
    assert found == {"embed": 3, "read out": 2 * 3}


def test_maps_alone(toy):
    made = method.build(toy.context(OBJECT_PRESETS["maps"], saliency="boundary"))
    assert stages_of(made.segment_object(toy.video_of(toy.squares(3)[0]))) == {"saliency": 3, "CRF": 3}


def test_instances(toy):
    config = replace(INSTANCE_PRESETS["smoke"], crf=True)
    made = instances.build(toy.context(config, "instance-zvos", proposals="components", flow="dis:fast"))
    found = stages_of(made.segment_instances(toy.video_of(toy.squares(3)[0])))
    assert found == {"embed": 3 + 3, "attend": 3, "read out": 2 * 3, "CRF": 3, "proposals": 3, "link": 3}


def test_one_shot(toy):
    """The prompted frame is embedded alone."""
    images, truths = toy.squares(3)
    made = one_shot.build(toy.context(PRESETS["smoke"], task="one-shot"))
    found = stages_of(made.propagate(toy.video_of(images), Prompts({0: torch.from_numpy(truths[0])})))
    assert found == {"embed": 3, "propagate": 2, "upsample": 2}
