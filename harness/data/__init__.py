"""A benchmark's data: downloaded, unpacked, looked through."""
