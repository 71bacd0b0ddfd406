"""Risk: permits a wish, shrinks it, or names the reason with every number it looked at."""
