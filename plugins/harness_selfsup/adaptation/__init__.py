"""The propagated masks taught to an appearance model of one video, while it runs."""
