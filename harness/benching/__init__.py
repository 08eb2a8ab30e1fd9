"""Benches: kernels against roofline and reference, whole methods on a generated clip, the effect of precision."""
