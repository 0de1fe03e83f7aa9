"""Sums of squares in the leading principal components, for the measures of variance explained."""
