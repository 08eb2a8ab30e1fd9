"""What a plugin may know: contracts, video, tasks, timing, records, errors. Importing it imports no torch."""
