"""How MuG learns from unlabelled videos: four granularities, and rounds of relabelling."""
