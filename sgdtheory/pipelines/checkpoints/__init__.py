"""Checkpoints of networks, whoever wrote them: what a file holds, and which of its tensors are a
model's.

No pickle is ever executed: torch's weights-only reader alone sees it, and what is neither a tensor
nor plain data is refused, or stands there empty where it is a mere number or setting. Sizes are
looked at before anything is read.
"""
