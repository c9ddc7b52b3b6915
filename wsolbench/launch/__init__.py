"""The pipeline: what each stage depends on, and how stages are run, here or on a cluster."""
