"""What the end-to-end scenarios are made of: real peers, the command under test, and a person at a terminal."""
