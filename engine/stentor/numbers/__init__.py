"""What a number in E.164 says: its country, its zones, how people at home dial it, and tables of its prefixes."""
