"""Cost of a recording before it is made: operations, bytes, memory and time."""
