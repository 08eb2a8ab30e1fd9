"""A method in a process of its own: messages, shared memory, the worker, and the stand-in a session drives."""
