"""T-Net: a small model of each target, fitted by Gauss-Newton (section 3.2 of the paper)."""
