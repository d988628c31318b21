"""What is said about what was measured: frame to figure, to page."""
