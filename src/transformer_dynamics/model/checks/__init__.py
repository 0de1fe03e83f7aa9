"""Checks that a recording holds the states that the user's model computes."""
