"""What carries the messages: the link, or one of Flower's own engines."""
