"""A seeded world around the dispatcher: journal, pump, clients and carriers, all of it faulty, none of it real."""
