"""What is trained: the contracts of methods and backbones, layers, backbones and their pretrained weights."""
