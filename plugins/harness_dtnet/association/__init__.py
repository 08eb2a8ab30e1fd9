"""Which proposal belongs to which track, and the life of tracks (section 3.2 of the paper)."""
