"""What is taken into the leaderboard, and why it can be trusted."""
