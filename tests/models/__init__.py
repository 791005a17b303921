"""Models as strangers make them: by the formats' own libraries, never by Edgewright's exporters."""
