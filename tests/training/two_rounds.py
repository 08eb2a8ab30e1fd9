"""A method trained in two rounds without a label: it learns what moves, relabels every frame, and learns again."""

from dataclasses import dataclass

from harness import Method, Stage, Training, hookimpl, read_facts, whole_file


@dataclass(frozen=True)
class TrainingConfig:
    """The constants of the training."""

    iterations: int = 40
    """Of each round."""
    frames: int = 4
    lr: float = 2.0


def build(context):
    """Build the method; what counts as object is a fact of its weights."""
    network = load(new_network(), context.weights)
    return Colours(network.to(context.device), float(context.facts.get("threshold", "0.5")))


def stages(config):
    """Both rounds learn alike, from other labels."""
    return [Stage("motion", Learner, label_what_moves), Stage("again", Learner, relabel)]


@hookimpl
def harness_methods():
    """Offer one method, and the training that makes its weights from frames alone."""
    training = Training(config=TrainingConfig, stages=stages, needs="frames", choose="last")
    return [Method(name="two-rounds", tasks=("object-zvos",), build=build, training=training, supervision="none")]


def label_what_moves(context, progress):
    """Prepare the first round: a pixel that changes from one frame to the next is object."""
    import numpy as np

    def label(sample):
        frames = np.stack([sample.read_frame(t).astype(np.int16) for t in range(sample.length)])
        changes = np.abs(np.diff(frames, axis=0)).max(-1)
        return np.concatenate([changes, changes[-1:]]) > 20

    write_labels(context, progress, label)


def relabel(context, progress):
    """Prepare the second round: what the network of the first takes for object."""
    import numpy as np
    import torch

    network = load(new_network(), context.earlier)
    threshold = float(read_facts(context.earlier)["threshold"])

    def label(sample):
        with torch.inference_mode():
            found = [network(colours_of(sample.read_frame(t))) > threshold for t in range(sample.length)]
        return np.stack([mask.numpy() for mask in found])

    write_labels(context, progress, label)


def write_labels(context, progress, label):
    """One file a video; what a killed preparation has written is not made again."""
    import numpy as np

    for done, sample in enumerate(context.samples, start=1):
        place = context.artefacts / f"{sample.name}.npy"
        if not place.exists():
            labels = label(sample)
            with whole_file(place) as file:
                np.save(file, labels)
        progress(done, len(context.samples))


def new_network():
    """Red, green, blue -> how likely it is object."""
    import torch

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 1)
            torch.nn.init.zeros_(self.layer.weight)

        def forward(self, colours):
            return self.layer(colours)[..., 0].sigmoid()

    return Network()


def load(network, weights):
    """The network with weights from a file, where there is one."""
    from safetensors.torch import load_file

    if weights is not None:
        network.load_state_dict(load_file(weights))
    return network


def colours_of(frame):
    """A (H, W, 3) uint8 frame in -1..1."""
    import torch

    return torch.as_tensor(frame).float() / 127.5 - 1


@dataclass
class Colours:
    """The method at test time."""

    network: object
    threshold: float

    def segment_object(self, video):
        """Yield one mask a frame."""
        import torch

        for t in range(len(video)):
            with torch.inference_mode():
                yield (self.network(colours_of(video[t])) > self.threshold).to(torch.uint8)


class Learner:
    """The network while it learns from the labels of its round."""

    def __init__(self, context):
        import numpy as np
        import torch

        self.context = context
        self.iterations = context.config.iterations
        self.labels = [np.load(context.artefacts / f"{sample.name}.npy") for sample in context.samples]
        self.network = load(new_network(), context.weights or context.earlier).to(context.device).train()
        self._optimizer = torch.optim.SGD(self.network.parameters(), lr=1.0, momentum=0.9)

    def networks(self):
        return {"network": self.network}

    def optimizer(self):
        return self._optimizer

    def learning_rate(self, iteration):
        return self.context.config.lr * (1 - iteration / self.iterations)

    def batch(self, iteration):
        """This rank's share of the frames; the draw follows from the seed, the stage and the iteration alone."""
        import numpy as np
        import torch

        draw = np.random.default_rng([self.context.seed, *self.context.stage.encode(), iteration])
        videos = draw.integers(len(self.labels), size=self.context.config.frames)
        drawn = [(video, draw.integers(len(self.labels[video]))) for video in videos]
        mine = drawn[self.context.rank :: self.context.world]
        frames = [colours_of(self.context.samples[video].read_frame(int(t))) for video, t in mine]
        labels = [torch.from_numpy(self.labels[video][t]).float() for video, t in mine]
        return torch.stack(frames), torch.stack(labels)

    def loss(self, batch, iteration):
        import torch.nn.functional as F

        colours, labels = (tensor.to(self.context.device, non_blocking=True) for tensor in batch)
        return F.binary_cross_entropy(self.network(colours), labels), {"object": labels.mean()}

    def after_step(self, iteration):
        """Nothing follows the network here."""

    def weights(self):
        return {name: tensor.detach().cpu() for name, tensor in self.network.state_dict().items()}

    def facts(self):
        """Said beside the weights: a pixel is object where that is twice as likely as among all that were labelled."""
        share = sum(labels.mean() for labels in self.labels) / len(self.labels)
        return {"threshold": f"{min(0.5, 2 * share):.4f}"}
