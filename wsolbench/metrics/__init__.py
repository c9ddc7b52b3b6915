"""Maps to numbers: numpy in, numbers out, on the CPU, without torch."""
