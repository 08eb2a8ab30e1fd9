"""A method that can be trained, whole: each pixel goes to the object whose mean colour and place are nearest."""

from dataclasses import dataclass

from harness import DataError, Method, Training, hookimpl


@dataclass(frozen=True)
class TrainingConfig:
    """The constants of the training; the defaults are the preset used without --preset."""

    iterations: int = 60
    pairs: int = 4
    """Frames learnt from in one iteration, each with the first frame of its video."""
    lr: float = 0.2


def build(context):
    """Build the method; torch is imported here and not before."""
    from safetensors.torch import load_file

    nearness = new_network(context.seed)
    if context.weights is not None:
        nearness.load_state_dict(load_file(context.weights))
    return Propagation(nearness.to(context.device))


def build_learner(context):
    """Build what ``harness train`` trains."""
    return ColourLearner(context)


@hookimpl
def harness_methods():
    """Offer one method, with the training that makes its weights."""
    training = Training(build_learner, TrainingConfig, presets={"short": TrainingConfig(iterations=5)})
    return [Method(name="colour-model", tasks=("one-shot",), build=build, training=training)]


def new_network(seed):
    """What is learnt: how much red, green, blue, x and y count, and how readily a pixel is background."""
    import torch

    class Nearness(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.rand(5, generator=torch.Generator().manual_seed(seed)))
            self.bias = torch.nn.Parameter(torch.zeros(()))

        def forward(self, points, means):
            """Scores (N, H, W) of background and objects, for points (H, W, 5) and means (N, 5)."""
            scores = -((points - means[:, None, None]).square() * self.scale * 10).sum(-1)
            return torch.cat([scores[:1] + self.bias, scores[1:]])

    return Nearness()


def points_of(frame):
    """Each pixel of a (H, W, 3) uint8 frame as red, green, blue, x, y in 0..1."""
    import torch

    y, x = (torch.linspace(0, 1, size, device=frame.device) for size in frame.shape[:2])
    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    return torch.cat([frame.float() / 255, places], dim=-1)


def means_of(points, ids):
    """The mean point (N, 5) of background and each object of an id mask; the middle for one that is absent."""
    import torch

    found = [points[ids == n] for n in range(int(ids.max()) + 1)]
    return torch.stack([inside.mean(0) if len(inside) else points.new_full((5,), 0.5) for inside in found])


@dataclass
class Propagation:
    """The method at test time."""

    nearness: object

    def propagate(self, video, prompts):
        """Yield one id mask a frame."""
        import torch

        means = means_of(points_of(video[0]), prompts[0])
        absent = [n for n in range(1, len(means)) if n not in prompts.ids]
        for t in range(len(video)):
            with torch.no_grad():
                scores = self.nearness(points_of(video[t]), means)
            scores[absent] = -torch.inf
            yield scores.argmax(0).to(torch.uint8)


@dataclass
class ColourLearner:
    """The same network while it learns: what the loop of ``harness train`` asks for."""

    context: object

    def __post_init__(self):
        import torch

        if any(sample.length < 2 for sample in self.context.samples):
            raise DataError("colour-model learns from pairs of frames; found a video of one frame")
        self.iterations = self.context.config.iterations
        self.nearness = new_network(self.context.seed)
        if self.context.weights is not None:
            from safetensors.torch import load_file

            self.nearness.load_state_dict(load_file(self.context.weights))
        self.nearness.to(self.context.device).train()
        self._optimizer = torch.optim.Adam(self.nearness.parameters())

    def networks(self):
        return {"nearness": self.nearness}

    def optimizer(self):
        return self._optimizer

    def learning_rate(self, iteration):
        return self.context.config.lr * (1 - iteration / self.iterations)

    def batch(self, iteration):
        """This rank's share of the pairs; which ones follows from the seed and the iteration alone."""
        import torch

        draw = torch.Generator().manual_seed(self.context.seed * 1_000_003 + iteration)
        videos = torch.randint(len(self.context.samples), (self.context.config.pairs,), generator=draw)
        places = torch.rand(self.context.config.pairs, generator=draw)
        mine = list(zip(videos.tolist(), places.tolist(), strict=True))[self.context.rank :: self.context.world]
        return [self._pair(self.context.samples[video], place) for video, place in mine]

    def _pair(self, sample, place):
        import torch

        t = 1 + int(place * (sample.length - 1))
        arrays = sample.read_frame(0), sample.read_truth(0), sample.read_frame(t), sample.read_truth(t)
        return tuple(torch.from_numpy(array.copy()) for array in arrays)

    def loss(self, batch, iteration):
        import torch
        import torch.nn.functional as F

        losses, right = [], []
        for pair in batch:
            first, first_ids, frame, ids = (tensor.to(self.context.device, non_blocking=True) for tensor in pair)
            means = means_of(points_of(first), first_ids.where(first_ids < 255, 0))
            ids = ids.long().where(ids < len(means), 0)  # objects that enter later, and void
            scores = self.nearness(points_of(frame), means)
            _, place, count = ids.unique(return_inverse=True, return_counts=True)
            weight = 1 / count[place] / len(count)  # a small object counts as much as the background
            losses.append((F.cross_entropy(scores[None], ids[None], reduction="none")[0] * weight).sum())
            right.append((scores.argmax(0) == ids).float().mean())
        return torch.stack(losses).mean(), {"right": torch.stack(right).mean()}

    def after_step(self, iteration):
        """Nothing follows the network here."""

    def weights(self):
        return {name: tensor.detach().cpu() for name, tensor in self.nearness.state_dict().items()}
