"""Faces of older systems over Headgate, so that code written against them moves over by changing an import."""
