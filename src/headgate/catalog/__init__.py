"""What models exist, what they can do and what they cost: dated data, and pure functions over it."""
