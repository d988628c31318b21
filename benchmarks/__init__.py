"""The inside: everything that runs in a tool's own environment. Imports only the standard library."""
