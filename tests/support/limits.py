"""How long a test waits for what should end."""

# So long that only what hangs reaches it, however busy the machine is.
HANG_S = 3600
