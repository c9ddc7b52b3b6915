"""Feature extractors of named stages: one file each; the file's stem is the key in ``params.yaml``."""
