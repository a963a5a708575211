"""Tables: reading and checking them, splits, scaling, and the stand-in for the real file."""
