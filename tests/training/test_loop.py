"""The loop of a training: it learns, it tells, it stops when it must, and goes on as if it had not stopped."""

import os
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.api.errors import DataError, MethodFailed, PluginError
from harness.training import loop
from harness.training.interruption import Interruption
from harness.training.loop import Watch
from harness.training.plan import seed_of
from harness.training.validation import leave_undisturbed


def test_a_training_learns_tells_and_leaves_its_files(tiny):
    trained = tiny.train(log_every=4, validate_every=6)
    names = {path.name for path in tiny.folder.iterdir()}
    weights = {"last.safetensors", "best.safetensors", "checkpoint.pt"}
    assert names == weights | {"lock", "train.json", "log.jsonl", "curve.png"}
    lines = [line for line in trained.lines if line["kind"] == "train"]
    assert [line["iteration"] for line in lines] == [4, 8, 12]
    assert lines[-1]["losses"]["loss"] < 0.7 * lines[0]["losses"]["loss"]
    assert lines[0]["losses"]["share"] == pytest.approx(9 / 64)
    scores = [(line["iteration"], line["score"]) for line in trained.lines if line["kind"] == "validation"]
    assert [iteration for iteration, _ in scores] == [0, 6, 12]
    assert scores[-1][1] > scores[0][1]
    assert (trained.iterations, trained.best) == (12, max(score for _, score in scores))


def test_each_line_of_the_log_is_the_mean_since_the_last(tiny):
    each = [line["losses"]["loss"] for line in tiny.train(log_every=1, validate="none").lines]
    every_fifth = [line["losses"]["loss"] for line in tiny.train(out="other", log_every=5, validate="none").lines]
    assert every_fifth == pytest.approx([np.mean(each[:5]), np.mean(each[5:10]), np.mean(each[10:])])


def test_the_learning_rate_is_set_on_each_group_times_its_scale(tiny):
    rates = []

    class Watched(tiny.Learner):
        def after_step(self, iteration):
            rates.append([group["lr"] for group in self.optimizer().param_groups])

    tiny.train(tiny.card(Watched), config={"iterations": 2, "lr": 1.0})
    assert rates == [[1.0, 2.0], [0.5, 1.0]]


def train_until(tiny, iteration, **asked):
    """Train, and press Ctrl-C in the middle of one iteration."""

    class Stopped(tiny.Learner):
        def loss(self, batch, now):
            if now == iteration:
                os.kill(os.getpid(), signal.SIGINT)
            return super().loss(batch, now)

    with pytest.raises(KeyboardInterrupt):
        tiny.train(tiny.card(Stopped), out="broken", **asked)


@pytest.mark.parametrize(
    "iteration", [pytest.param(0, marks=pytest.mark.slow), pytest.param(6, marks=pytest.mark.slow), 11]
)
def test_an_interrupted_training_goes_on_to_the_same_bits_and_lines(tiny, tmp_path, iteration):
    asked = {"log_every": 5, "validate_every": 4, "checkpoint_every": 4}
    whole = tiny.train(**asked)
    train_until(tiny, iteration, **asked)
    done = torch.load(tmp_path / "broken/checkpoint.pt", weights_only=True)["iteration"]
    assert done == iteration + 1
    again = tiny.train(out="broken", **asked)
    assert same_files(tiny.folder, tmp_path / "broken")
    assert [without_time(line) for line in again.lines] == [without_time(line) for line in whole.lines]
    assert again.best_iteration == whole.best_iteration


def same_files(there, here):
    """Whether two trainings have the same weights to the last bit, and the same networks and optimiser."""
    a, b = (torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (there, here))
    momentum = [[state["momentum_buffer"] for state in c["optimizer"]["state"].values()] for c in (a, b)]
    tensors = [[*c["networks"]["layer"].values(), *c["networks"]["average"].values()] for c in (a, b)]
    weights = [(there / name).read_bytes() == (here / name).read_bytes() for name in WEIGHTS]
    pairs = zip(momentum[0] + tensors[0], momentum[1] + tensors[1], strict=True)
    return all(weights) and all(torch.equal(one, other) for one, other in pairs)


WEIGHTS = ("last.safetensors", "best.safetensors")


def without_time(line):
    return {key: value for key, value in line.items() if "second" not in key and key != "peak_memory_mib"}


@pytest.mark.slow
def test_what_was_written_after_the_checkpoint_is_written_again_and_once(tiny, tmp_path):
    whole = tiny.train(log_every=2, validate_every=3, checkpoint_every=4)

    class Killed(tiny.Learner):
        def loss(self, batch, now):
            if now == 7:
                raise ZeroDivisionError("a crash: nothing more is written")
            return super().loss(batch, now)

    asked = {"out": "broken", "log_every": 2, "validate_every": 3, "checkpoint_every": 4}
    with pytest.raises(MethodFailed, match="at iteration 7: ZeroDivisionError"):
        tiny.train(tiny.card(Killed), **asked)
    with (tmp_path / "broken/log.jsonl").open("a") as log:
        log.write('{"kind": "train", "iter')
    again = tiny.train(**asked)
    assert [without_time(line) for line in again.lines] == [without_time(line) for line in whole.lines]
    assert same_files(tiny.folder, tmp_path / "broken")


def test_ctrl_c_while_validating_stops_at_once_and_is_validated_again(tiny, monkeypatch):
    real, calls = loop.validate, []

    def interrupt_once(*given):
        calls.append(given)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*given)

    monkeypatch.setattr(loop, "validate", interrupt_once)
    with pytest.raises(KeyboardInterrupt):
        tiny.train(validate_every=6)
    trained = tiny.train(validate_every=6)
    assert [line["iteration"] for line in trained.lines if line["kind"] == "validation"] == [0, 6, 12]


def test_a_second_signal_stops_where_it_stands():
    interruption = Interruption()
    with interruption.take_signals(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.asked
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_signals_are_left_alone_in_a_thread_that_gets_none(tiny):
    found = []
    thread = threading.Thread(target=lambda: found.append(tiny.train(config={"iterations": 1}).iterations))
    thread.start()
    thread.join()
    assert found == [1]


def test_a_finished_training_that_was_not_validated_can_be(tiny):
    tiny.train(validate="none")
    trained = tiny.train()
    assert (trained.best, trained.best_iteration) == (1, 12)
    kept = torch.load(tiny.folder / "checkpoint.pt", weights_only=True)
    assert (kept["validated"], kept["best"]) == (12, 1)


def test_a_finished_training_is_not_trained_again(tiny):
    first = tiny.train()
    again = tiny.train(tiny.card(type("Lazy", (tiny.Learner,), {"loss": lambda *given: pytest.fail("trained")})))
    assert again.lines == first.lines
    assert (again.iterations, again.best) == (12, first.best)


def test_a_loss_that_is_not_finite_ends_the_training_and_keeps_the_checkpoint_before(tiny):
    with pytest.raises(MethodFailed, match=r"not finite at iteration 7; .*log.jsonl shows .*checkpoint.pt is from"):
        tiny.train(config={"break_at": 7}, checkpoint_every=5, log_every=4, validate="none")
    kept = torch.load(tiny.folder / "checkpoint.pt", weights_only=True)
    assert kept["iteration"] == 5
    assert all(tensor.isfinite().all() for tensor in kept["networks"]["layer"].values())


def test_batches_made_by_other_processes_give_the_same_weights(tiny, tmp_path):
    tiny.train()
    tiny.train(out="broken", workers=2)
    assert same_files(tiny.folder, tmp_path / "broken")


def test_an_error_of_the_data_in_another_process_stays_one(tiny):
    class Torn(tiny.Learner):
        def batch(self, iteration):
            raise DataError.at("00003.jpg", found="half an image", expected="an image")

    with pytest.raises(DataError, match=r"00003.jpg: found half an image"):
        tiny.train(tiny.card(Torn), workers=1)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_learns_and_is_resumed(tiny, tmp_path, precision):
    whole = tiny.train(precision=precision)
    assert whole.best == 1
    train_until(tiny, 5, precision=precision)
    tiny.train(out="broken", precision=precision)
    assert same_files(tiny.folder, tmp_path / "broken")


def test_layers_run_in_the_precision_that_was_asked_for(tiny):
    dtypes = []

    class Watched(tiny.Learner):
        def loss(self, batch, iteration):
            dtypes.append(self.layer(batch[0]).dtype)
            return super().loss(batch, iteration)

    for precision in ("fp32", "bf16"):
        tiny.train(tiny.card(Watched), out=precision, config={"iterations": 1}, precision=precision)
    assert dtypes == [torch.float32, torch.bfloat16]


def test_the_seed_decides_the_weights(tiny):
    tiny.train()
    tiny.train(out="other", seed=1)
    assert not torch.equal(tiny.weights()["weight"], tiny.weights("other")["weight"])


def test_weights_to_begin_from_are_handed_to_the_learner(tiny):
    tiny.train()
    init = tiny.folder / "last.safetensors"
    trained = tiny.train(out="other", init=init, validate_every=12)
    assert trained.lines[0]["score"] == 1


def test_validation_disturbs_neither_generators_nor_threads_nor_train_modes():
    network = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Dropout())
    network[1].eval()
    torch.manual_seed(seed_of(0, "test"))
    threads, expected = (
        torch.get_num_threads(),
        torch.rand(3, generator=torch.Generator().manual_seed(seed_of(0, "test"))),
    )
    with leave_undisturbed({"network": network}):
        torch.rand(9)
        torch.set_num_threads(threads + 1)
        network.eval()
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
    assert [module.training for module in network] == [True, False]


def test_a_video_that_fails_in_validation_ends_the_training_with_what_is_learnt(tiny):
    class Broken:
        def propagate(self, video, prompts):
            raise ValueError("no mask")

    with pytest.raises(MethodFailed, match=r"validation on tiny: 2 videos failed; .*no mask"):
        tiny.train(replace(tiny.card(), build=lambda context: Broken()))
    assert torch.load(tiny.folder / "checkpoint.pt", weights_only=True)["iteration"] == 0
    assert not (tiny.folder / ".validation").exists()


def test_the_best_weights_are_those_of_the_best_validation(tiny, monkeypatch):
    real, scores = loop.validate, iter([0.1, 0.9, 0.5])

    def score_as_planned(*given):
        return type(real(*given))("tiny", "share", next(scores), {}, 2)

    monkeypatch.setattr(loop, "validate", score_as_planned)
    trained = tiny.train(validate_every=6)
    assert (trained.best, trained.best_iteration) == (0.9, 6)
    train_until(tiny, 5, validate="none")
    assert torch.equal(tiny.weights(name="best")["weight"], tiny.weights("broken", "last")["weight"])
    assert not torch.equal(tiny.weights(name="best")["weight"], tiny.weights(name="last")["weight"])


def test_something_that_is_no_learner_is_refused(tiny):
    with pytest.raises(PluginError, match="built a dict, expected a Learner"):
        tiny.train(tiny.card(lambda context: {}))


def test_a_learner_that_cannot_be_built_says_so(tiny):
    def build(context):
        raise RuntimeError("no such layer")

    with pytest.raises(MethodFailed, match="failed while it was built: RuntimeError: no such layer"):
        tiny.train(tiny.card(build))


def test_the_watch_is_told_lines_and_iterations(tiny):
    lines, iterations = [], []
    watch = Watch(on_line=lines.append, on_iteration=lambda done, total: iterations.append((done, total)))
    trained = tiny.train(watch=watch, config={"iterations": 3}, validate_every=3)
    assert lines == trained.lines
    assert iterations == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_training_on_a_gpu_learns_and_goes_on(tiny, precision):
    asked = {"device": "cuda:0", "precision": precision, "workers": 1}
    assert tiny.train(**asked).best == 1
    train_until(tiny, 5, **asked)
    assert tiny.train(out="broken", **asked).iterations == 12
    assert torch.allclose(tiny.weights()["weight"], tiny.weights("broken")["weight"], atol=1e-3)


@pytest.mark.gpu
def test_a_bad_loss_on_a_gpu_is_named_by_its_iteration(tiny):
    with pytest.raises(MethodFailed, match="not finite at iteration 7"):
        tiny.train(config={"break_at": 7}, device="cuda:0", validate="none")
