"""The second half of the flow: trainings on what is packed, and the verdict on them.

`flow` records how each of them ends, and goes the whole way. PyTorch is imported where it is needed: it takes
seconds, which whoever prepares need not pay.
"""
