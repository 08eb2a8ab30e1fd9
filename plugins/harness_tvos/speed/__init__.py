"""What makes it fast on a GPU, and what its kernels are tried with."""
