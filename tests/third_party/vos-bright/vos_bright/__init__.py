"""Bright: what is bright is the object, as one small checkpoint says."""

from pathlib import Path

from harness import BuildContext, Method, ObjectZVOS, Weights, hookimpl

HERE = Path(__file__).parent
WEIGHTS = (
    Weights(
        name="half-grey",
        path=HERE / "weights" / "half-grey.safetensors",
        sha256="c47c76924999a1bf17bfb896831f7b70361d972e411fed6412e4901f8e76d73d",
        licence="Apache-2.0",
        trained_on="nothing: set by hand, so that mean grey is the border",
    ),
    Weights(
        name="published",
        url="https://example.org/bright.safetensors",
        sha256="0" * 64,
        licence="CC-BY-4.0",
        trained_on="DAVIS 2016 train",
        note="not shipped: say where it is, and what it must be",
    ),
)


def build(context: BuildContext) -> ObjectZVOS:
    """Import torch only now."""
    from vos_bright.method import load

    return load(context)


@hookimpl
def harness_methods() -> list[Method]:
    """Offer one method."""
    return [
        Method(
            name="bright",
            summary="what is bright is the object",
            tasks=("object-zvos",),
            build=build,
            weights=WEIGHTS,
            default_weights="half-grey",
            supervision="none",
        )
    ]
