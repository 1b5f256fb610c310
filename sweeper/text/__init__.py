"""Words for people: commands to give, durations, terminal columns; no password in any of them."""
