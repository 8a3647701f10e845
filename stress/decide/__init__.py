"""From numbers to decisions: the limits that keep a declared appetite, and what would help."""
