"""Deep reinforcement learning in Jupyter lectures: the small package that they share.

Import the module you need (`from rlcourse import envs`); importing the package alone loads nothing.
"""
