"""The four tasks and their protocols."""

import pytest

from harness.api.tasks import TASKS, VIS, InstanceZVOS, ObjectZVOS, OneShotVOS


def test_the_four_tasks_have_their_command_line_names():
    assert list(TASKS) == ["object-zvos", "instance-zvos", "one-shot", "vis"]


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_filed_under_its_own_name(name):
    assert TASKS[name].name == name


@pytest.mark.parametrize("name", TASKS)
def test_the_entry_of_a_task_is_a_method_of_its_protocol(name):
    task = TASKS[name]
    assert callable(getattr(task.protocol, task.entry))


def test_only_one_shot_is_prompted():
    assert [name for name, task in TASKS.items() if task.prompted] == ["one-shot"]


def test_id_limits_are_those_of_the_tasks():
    assert {name: task.max_id for name, task in TASKS.items()} == {
        "object-zvos": 1,
        "instance-zvos": 20,
        "one-shot": None,
        "vis": None,
    }


def test_a_class_with_the_right_method_fits_its_protocol_and_no_other():
    class Follower:
        def propagate(self, video, prompts):
            yield from ()

    follower = Follower()
    assert isinstance(follower, OneShotVOS)
    assert not any(isinstance(follower, other) for other in (ObjectZVOS, InstanceZVOS, VIS))
