"""The four losses of MuG, from the single frame to the whole video (Lu et al. 2020, 3.1 and 3.2)."""
