"""One file a picture: each makes a Scene, for a width in pixels, from what was measured."""
