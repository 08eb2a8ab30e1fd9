"""What a CUDA machine must show, in one command: ``python -m benchmarks.gpu`` (``make gpu``)."""
