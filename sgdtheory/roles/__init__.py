"""What a landscape can do besides giving losses: each role a type.

A landscape plays a role by having its methods; it names none of these classes. Asking looks for
names alone, so that a landscape which hands on all that it does not have itself
(`GhostBatchObjective`) plays the roles of the one inside.
"""
