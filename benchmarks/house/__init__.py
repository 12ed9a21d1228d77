"""Figures of the code itself: size, structure, words, documentation and test time."""
