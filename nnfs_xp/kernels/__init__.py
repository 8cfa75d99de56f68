"""The numeric inner parts that layers and losses share, in plain standard array code."""
