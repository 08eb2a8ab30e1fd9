"""Masks and tracks made elsewhere: found, looked over, scored, packed for servers."""
