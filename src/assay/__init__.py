"""The outside: plans trials, launches them, records and judges what they measured. It never imports a tool."""

__version__ = "0.1.0"
