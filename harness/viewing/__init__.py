"""A finished run made visible: pages with its frames, overlays as a video, a contact sheet."""
