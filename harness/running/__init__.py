"""A benchmark worked through video by video: session, run folder, record."""
