"""Looking at a recorded run: cameras, the replay page, and films."""
