"""Reference prices: what the things we trade are about costs elsewhere. Frames in, prices out."""
