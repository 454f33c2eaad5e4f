"""The `minigan` command: what one does with run folders. It begins in `main.py`."""
