"""What a run needs beside the numbers: state, scratch, provenance, processes, progress. Nothing here defines a byte."""
