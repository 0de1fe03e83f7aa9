"""Messages of the commands: bars, log lines, JSON, tables."""
