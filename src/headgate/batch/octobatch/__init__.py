"""Runs of Octobatch: read from their folders, and never written there."""
