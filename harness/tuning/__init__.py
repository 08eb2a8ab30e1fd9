"""Constants chosen without truth: which of a method's competing masks is the object, and which weights are better.

By motion-semantic alignment (IMAS 3.4, ``harness.models.alignment``). What truth says of it is an analysis apart, which
chooses nothing.
"""
