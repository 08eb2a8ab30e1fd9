"""A new plugin from templates."""
