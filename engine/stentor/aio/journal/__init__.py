"""The journal's file: who writes it, who reads it, how records stand in its rows, and what it needs to live."""
