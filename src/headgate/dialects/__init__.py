"""Wire formats, pure, in both directions. One folder or file per format; dialects do not know one another."""
