"""The shells: the only modules of the engine that wait, hold a socket or start a task."""
