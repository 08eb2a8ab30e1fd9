"""The measures of agreement between predicted and true masks; each is reached through the catalog, not imported."""
