"""What training and evaluation read: the data set contract, index, images, masks, cache, loader, maps."""
