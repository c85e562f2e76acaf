"""The pure core: what is asked, when, and what follows. It opens nothing, reads no clock and draws no random number."""
