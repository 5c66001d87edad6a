"""What arguments and policies say."""
