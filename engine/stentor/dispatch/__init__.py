"""The engine's mind as a whole: one object that is told facts and says what to do."""
