"""The driver of stentor for carriers with an HTTP interface: each is a description, not a program."""
