"""What is stored of a run, read again and tested for significance."""
