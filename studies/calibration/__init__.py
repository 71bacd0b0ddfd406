"""Calibration: the demo exchange beside the recordings it is modelled on."""
