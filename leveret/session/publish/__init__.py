"""basic.publish and its confirms."""
