"""Frames as the method looks at them: which earlier ones, at which size, in which colours."""
