"""What averages the same updates side by side, each system in a process of its own.

fedgrass's averager, NVIDIA FLARE's, Flower's, the predecessor's arithmetic, and the limit of the machine. The two
peers are imported from a virtual environment of their own, which has nothing of this project: what they share with
`inputs` and `serve` needs only numpy.
"""
