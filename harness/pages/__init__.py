"""Pages to look at: a leaderboard, a run, a video and a comparison as HTML that opens from disk and fetches nothing."""
