"""One-shot: labels of the first frame handed on from frame to frame (Lu et al. 2020, eq. 17)."""
