"""Run tasks: plan, cache keys, store, executors, runs."""
