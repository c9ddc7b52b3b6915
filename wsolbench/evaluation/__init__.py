"""From maps to numbers: component tree, box and pixel protocols, accuracies, kinds of misses. No torch."""
