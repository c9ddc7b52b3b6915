"""From files that others made to a checked index: download, unpack, read their lists, inspect, prepare."""
