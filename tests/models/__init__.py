"""Models as strangers make them: written with the formats' own libraries, never with Edgewright's exporters."""
