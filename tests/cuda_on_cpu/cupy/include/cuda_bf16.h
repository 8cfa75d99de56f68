// Everything of it is in cpu.h.
