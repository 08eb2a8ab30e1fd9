"""The card of selfsup: masks propagated by a self-supervised momentum memory (Zhu et al. 2020)."""
