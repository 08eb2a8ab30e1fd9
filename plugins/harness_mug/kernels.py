"""The hot functions of MuG: what is gathered from the references of a video, patches found again, labels handed on.

The CRF is everybody's: harness.ops.crf.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from harness import kernel
from harness.api.timing import Example
from harness.ops.onednn import can_use, multiply

REFERENCES = 8
CELLS = ((16, 28, 64), (30, 53, 64), (60, 107, 128))
"""Grids and channels: what ``small`` learns from, 240 lines, and 480 lines at stride 8."""
TILE = 1 << 22
"""Affinities of one tile: 16 MiB."""
ROWS = 64
"""Cells of a frame whose affinities to 30 x 53 cells of eight references, 3 MiB, stay near a CPU's core."""


def _random(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def aggregate_examples(device: str) -> list[Example]:
    """Features of a frame and of eight others that look like it, flat and sharp."""
    found = []
    for height, width, channels in CELLS[: 2 if device == "cpu" else 3]:
        cells = height * width
        for name, scale in (("flat", 0.3), ("sharp", 3.0)):
            query = _random(cells, channels, scale=scale)
            memory = query.repeat(REFERENCES, 1) + _random(REFERENCES * cells, channels, seed=1, scale=0.3 * scale)
            arguments = (query.to(device), memory.to(device), memory.to(device))
            found.append(Example(name=f"{height}x{width}, {channels} channels, {name}", args=arguments))
    return found


def aggregate_plain(
    query: Float[Tensor, "N C"], keys: Float[Tensor, "M C"], values: Float[Tensor, "M C"]
) -> Float[Tensor, "N C"]:
    """Eq. 9 and 10: all affinities, then their sum of the values. Products are divided by sqrt(C); ours."""
    affinity = (query @ keys.t() / query.shape[1] ** 0.5).softmax(1)  # (N, M)
    return affinity @ values


def aggregate_work(query: Tensor, keys: Tensor, values: Tensor) -> float:
    """Two products, and the softmax between them."""
    return len(query) * len(keys) * (4.0 * query.shape[1] + 4.0)


def aggregate_traffic(query: Tensor, keys: Tensor, values: Tensor) -> float:
    """All features read once, the answer written once."""
    return float(2 * query.numel() + keys.numel() + values.numel()) * query.element_size()


@kernel(
    example=aggregate_examples, reference=aggregate_plain, flops=aggregate_work, bytes=aggregate_traffic, tolerance=1e-3
)
def aggregate(
    query: Float[Tensor, "N C"], keys: Float[Tensor, "M C"], values: Float[Tensor, "M C"]
) -> Float[Tensor, "N C"]:
    """x' of each cell: the values of all cells of the references, weighted by how alike their keys are (eq. 9, 10).

    Affinities are never all there. One pass of PyTorch's fused attention, through which gradients flow; at test time on
    a CPU a few rows at a time by oneDNN, as fused attention goes through MKL's gemm there, which is half as fast.
    """
    needs_gradient = torch.is_grad_enabled() and (query.requires_grad or keys.requires_grad or values.requires_grad)
    if query.device.type == "cpu" and query.dtype == torch.float32 and can_use(query.dtype) and not needs_gradient:
        scaled, columns = query / query.shape[1] ** 0.5, values.t().contiguous()
        rows = min(ROWS, max(1, TILE // len(keys)))
        return torch.cat([multiply(multiply(part, keys).softmax(1), columns) for part in scaled.split(rows)])
    return functional.scaled_dot_product_attention(query[None, None], keys[None, None], values[None, None])[0, 0]


def aggregate_twice_examples(device: str) -> list[Example]:
    """Keys of the size that the released code has, and values."""
    found = []
    for height, width in ((12, 20), (40, 40)):
        cells = height * width
        arguments = (
            _random(cells, 32, scale=0.7),
            _random(REFERENCES * cells, 32, seed=1, scale=0.7),
            _random(REFERENCES * cells, 128, seed=2),
        )
        found.append(Example(name=f"{height}x{width}", args=tuple(each.to(device) for each in arguments)))
    return found


def aggregate_twice_plain(
    query: Float[Tensor, "N C"], keys: Float[Tensor, "M C"], values: Float[Tensor, "M D"]
) -> Float[Tensor, "N D"]:
    """The released code's way: a softmax over the frame's own cells, then one over all of the references'."""
    return (query @ keys.t()).softmax(0).softmax(1) @ values


def aggregate_twice_work(query: Tensor, keys: Tensor, values: Tensor) -> float:
    """The affinities twice, as they are not kept, and the sum."""
    return len(query) * len(keys) * (4.0 * query.shape[1] + 2.0 * values.shape[1] + 6.0)


@kernel(example=aggregate_twice_examples, reference=aggregate_twice_plain, flops=aggregate_twice_work, tolerance=1e-4)
def aggregate_twice(
    query: Float[Tensor, "N C"], keys: Float[Tensor, "M C"], values: Float[Tensor, "M D"]
) -> Float[Tensor, "N D"]:
    """The same in tiles: first what each reference's cell sums to over the frame, then the frame cell by cell.

    What the second softmax exponentiates is at most 1, so it needs no maximum.
    """
    if torch.is_grad_enabled() and (query.requires_grad or keys.requires_grad or values.requires_grad):
        return aggregate_twice_plain(query, keys, values)
    totals = torch.cat([(part @ query.t()).logsumexp(1) for part in keys.split(max(1, TILE // len(query)))])  # (M,)
    found = []
    for part in query.split(max(1, TILE // len(keys))):
        weights = (part @ keys.t()).sub_(totals).exp_().exp_()  # (n, M)
        found.append(weights @ values / weights.sum(1, keepdim=True))
    return torch.cat(found)


def correlate_examples(device: str) -> list[Example]:
    """Patches of four frames, as ``small`` and as the paper have them."""
    found = []
    for size, side in (((16, 28), 4), ((64, 64), 16)):
        arguments = (_random(4, 64, side, side).to(device), _random(4, 64, *size, seed=1).to(device))
        found.append(Example(name=f"{side}x{side} in {size[0]}x{size[1]}", args=arguments))
    return found


def correlate_plain(patch: Float[Tensor, "B C k k"], features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B h w"]:
    """The sums of eq. 3 and 4, offset by offset."""
    side = patch.shape[-1]
    before = side // 2
    padded = functional.pad(features, (before, side - 1 - before) * 2)
    height, width = features.shape[-2:]
    response = features.new_zeros(len(features), height, width)
    for row in range(side):
        for column in range(side):
            seen = padded[..., row : row + height, column : column + width]
            response = response + (seen * patch[..., row, column, None, None]).sum(1)
    return response / (side * side * patch.shape[1] ** 0.5)


def correlate_work(patch: Tensor, features: Tensor) -> float:
    """A product for each value of the patch and each cell."""
    return 2.0 * patch[0].numel() * features[0, 0].numel() * len(patch)


def correlate_traffic(patch: Tensor, features: Tensor) -> float:
    """Both read once, the response written once."""
    return float(patch.numel() + features.numel() + features[:, 0].numel()) * patch.element_size()


@kernel(
    example=correlate_examples, reference=correlate_plain, flops=correlate_work, bytes=correlate_traffic, tolerance=1e-4
)
def correlate(patch: Float[Tensor, "B C k k"], features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B h w"]:
    """How well each patch fits at each cell of its frame, by 1 / (k^2 sqrt(C)), before bias and sigmoid (eq. 3, 4).

    The patch of k x k cells at (i, j) covers the cells from i - k // 2 on; beyond the frame there is nothing. One
    product of all cells of the patch with all of the frame, then each offset's map is moved into place and summed.
    """
    side = patch.shape[-1]
    before = side // 2
    padded = functional.pad(features, (before, side - 1 - before) * 2)  # (B, C, h + k - 1, w + k - 1)
    scaled = patch.flatten(2).flip(2).transpose(1, 2) / (side * side * patch.shape[1] ** 0.5)  # (B, k*k, C)
    products = scaled @ padded.flatten(2)  # (B, k*k, all cells)
    size = (features.shape[2], features.shape[3])
    return functional.fold(products, size, side, padding=side - 1)[:, 0]


def spread_examples(device: str) -> list[Example]:
    """Features of two frames that look alike, and three objects."""
    found = []
    for height, width, channels in CELLS[:2]:
        for name, scale, top in (("flat, top 5", 0.3, 5), ("sharp, top 5", 3.0, 5), ("sharp, all", 3.0, 0)):
            query = _random(height * width, channels, scale=scale)
            keys = query + _random(height * width, channels, seed=1, scale=0.3 * scale)
            labels = functional.one_hot((torch.arange(height * width) // 37) % 3, 3).float()
            arguments = (query.to(device), keys.to(device), labels.to(device), top)
            found.append(Example(name=f"{height}x{width}, {name}", args=arguments, rounded=(0, 1)))
    return found


def spread_plain(
    query: Float[Tensor, "N C"], keys: Float[Tensor, "M C"], labels: Float[Tensor, "M L"], top: int
) -> Float[Tensor, "N L"]:
    """Eq. 17, where the released code keeps the largest ``top`` affinities after the softmax.

    Products are divided by sqrt(C); ours.
    """
    affinity = (query @ keys.t() / query.shape[1] ** 0.5).to(labels.dtype).softmax(1)  # (N, M)
    if 0 < top < len(keys):
        least = affinity.topk(top, dim=1).values[:, -1:]
        affinity = affinity.masked_fill(affinity < least, 0)
    return affinity @ labels


def spread_work(query: Tensor, keys: Tensor, labels: Tensor, top: int) -> float:
    """The affinities, their softmax, and the sum of labels."""
    return len(query) * len(keys) * (2.0 * query.shape[1] + 4.0) + 2.0 * len(query) * (top or len(keys)) * len(
        labels[0]
    )


@kernel(example=spread_examples, reference=spread_plain, flops=spread_work, tolerance=1e-4)
def spread(
    query: Float[Tensor, "N C"], keys: Float[Tensor, "M C"], labels: Float[Tensor, "M L"], top: int
) -> Float[Tensor, "N L"]:
    """The labels of one frame as another sees them (eq. 17), in tiles of the query; ``top`` 0 takes all affinities.

    The softmax is over all keys, so what the largest few do not hold is lost, and not shared out among them. Features
    in 16 bits are multiplied in the precision of labels: rounded affinities are often equal, and others the few then.
    """
    query, keys = query.to(labels.dtype), keys.to(labels.dtype)
    found = []
    for part in query.split(max(1, TILE // len(keys))):
        logits = part @ keys.t() / query.shape[1] ** 0.5  # (n, M)
        if 0 < top < len(keys):
            largest, places = logits.topk(top, dim=1)
            weights = (largest - logits.logsumexp(1, keepdim=True)).exp()  # (n, top)
            found.append((weights[..., None] * labels[places]).sum(1))
        else:
            found.append(logits.softmax(1) @ labels)
    return torch.cat(found)
