"""The commands of the command line, and what serves people rather than the pipeline."""
