"""How fast things may go, how often, and at what hours: limits, windows, caps, quiet hours, breakers."""
