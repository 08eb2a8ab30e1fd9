"""From what a user asks for to a plan in which every name is resolved."""
