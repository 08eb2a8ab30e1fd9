"""What ``harness train`` shares among methods: plan, loop, checkpoints, log, curve, several processes, validation."""
