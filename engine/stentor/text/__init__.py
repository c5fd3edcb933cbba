"""Texts on the air: the GSM 7-bit alphabet, cutting into segments, smart encoding. Pure."""
