"""The HTTP server: listeners, connections, exchanges, and how much of a turn of the loop they get."""
