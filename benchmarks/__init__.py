"""Measurements: how fast it is, and what each part of the recipe is worth."""
