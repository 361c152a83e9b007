"""Where the messages go, one transport per file; each states what it makes of a repeat."""
