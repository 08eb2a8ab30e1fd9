"""How its network is trained without a label."""
