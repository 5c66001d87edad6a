"""What a client does with messages, whatever protocol it speaks."""
