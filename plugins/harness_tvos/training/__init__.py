"""How its network is trained."""
