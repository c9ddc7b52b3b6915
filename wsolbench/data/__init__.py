"""Images on their way to the network: index, decoding, augmentation, loading."""
