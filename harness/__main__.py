"""``python -m harness``: the command line, where a launcher such as torchrun asks for a module."""

from harness.cli import main

if __name__ == "__main__":
    main()
