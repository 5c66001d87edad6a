"""Publishing, consuming and declaring for a client, whatever protocol it speaks."""
