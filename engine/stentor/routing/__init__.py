"""Whether a message is taken, which channels may carry it, and from which originator."""
