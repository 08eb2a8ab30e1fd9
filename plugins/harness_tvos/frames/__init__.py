"""Frames as the method looks at them: which earlier ones, and at which size."""
