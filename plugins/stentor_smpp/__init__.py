"""The SMPP driver of stentor."""
