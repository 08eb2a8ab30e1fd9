"""What a third party may add to the harness beside methods: a dataset, a metric, an executor, a reporter."""
