"""The whole topology on one machine without Docker: `make stack`. Under supervisor, in one folder."""
