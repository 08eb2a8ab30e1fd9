"""How a method that learns at test time gets better, and then worse: its masks after so many iterations, scored.

Figure 3 of Zhu et al. 2020, for any method and benchmark. The truth is read here and never shown to the method.
"""
