"""The peers: the same work in other libraries, and by hand. Each module gives ``build``."""
