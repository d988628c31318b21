"""One file a tool under test."""
