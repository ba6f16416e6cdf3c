"""Networks: ordinary nn.Modules from images [b, C, H, W] to logits [b, classes], plain batch norm
included.

The input shape and the number of classes come from the data; everything else is a setting of the
constructor. Initial weights are drawn in the constructor from torch's generator: whoever wants them
reproducible sets its state around it.
"""
