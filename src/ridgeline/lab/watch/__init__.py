"""What clients see of an event: real queries from every city, and what they lost."""
