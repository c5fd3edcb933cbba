"""A fleet of Android phones as a channel: they run the SMSGate app and call us, we never call them."""
